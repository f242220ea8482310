// seed writes a cluster of a given size straight into etcd, in the storage encoding of kube-apiserver (protobuf):
// namespaces, deployments with a settled status, running and ready pods, and HPAs. No kubelet, scheduler or ReplicaSet
// takes part, so 100,000 pods take seconds and every run starts from the same state.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"trimtab.dev/benches/cluster/world"
)

var pb = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)

func encode(gvk schema.GroupVersionKind, o runtime.Object) []byte {
	o.GetObjectKind().SetGroupVersionKind(gvk)
	var b bytes.Buffer
	if err := pb.Encode(o, &b); err != nil {
		log.Fatal(err)
	}
	return b.Bytes()
}

func main() {
	size := flag.String("size", "S", "size: T, S, M, L, XL, or APPSxPODS")
	mix := flag.String("mix", world.Mixed, "which metrics the HPAs go by: mixed, resource, prometheus")
	endpoint := flag.String("etcd", "http://127.0.0.1:12379", "etcd")
	show := flag.Bool("show", false, "print one pod, deployment and HPA as JSON and stop")
	flag.Parse()
	s, err := world.Named(*size, *mix)
	if err != nil {
		log.Fatal(err)
	}
	apps := world.Apps(s)
	if *show {
		for _, o := range []any{pod(apps[0], 0), deployment(apps[0]), hpa(apps[0])} {
			b, _ := json.Marshal(o)
			fmt.Fprintf(os.Stderr, "%T %d bytes\n", o, len(b))
			fmt.Println(string(b))
		}
		return
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{*endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	start := time.Now()
	work := make(chan []clientv3.Op, 64)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ops := range work {
				if _, err := c.Txn(context.Background()).Then(ops...).Commit(); err != nil {
					log.Fatal(err)
				}
			}
		})
	}
	var batch []clientv3.Op
	objects, size_ := 0, 0
	put := func(resource, ns, name string, v []byte) {
		key := "/registry/" + resource + "/"
		if ns != "" {
			key += ns + "/"
		}
		batch = append(batch, clientv3.OpPut(key+name, string(v)))
		objects++
		size_ += len(v)
		if len(batch) == 100 {
			work <- batch
			batch = nil
		}
	}
	core, v2 := schema.GroupVersion{Version: "v1"}, schema.GroupVersion{Group: "autoscaling", Version: "v2"}
	seen := map[string]bool{}
	for _, a := range apps {
		if !seen[a.Namespace] {
			seen[a.Namespace] = true
			m := meta("", a.Namespace, "Namespace", map[string]string{"kubernetes.io/metadata.name": a.Namespace})
			put("namespaces", "", a.Namespace, encode(core.WithKind("Namespace"), &corev1.Namespace{ObjectMeta: m,
				Spec: corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}}, Status: corev1.NamespaceStatus{Phase: corev1.NamespaceActive}}))
		}
		put("deployments", a.Namespace, a.Name, encode(appsv1.SchemeGroupVersion.WithKind("Deployment"), deployment(a)))
		put("horizontalpodautoscalers", a.Namespace, a.Name, encode(v2.WithKind("HorizontalPodAutoscaler"), hpa(a)))
		for i := range a.Pods {
			put("pods", a.Namespace, a.Pods[i], encode(core.WithKind("Pod"), pod(a, i)))
		}
	}
	if len(batch) > 0 {
		work <- batch
	}
	close(work)
	wg.Wait()
	fmt.Printf("seeded %s: %d HPAs, %d pods, %d objects, %d MB in %.1f s\n", s.Name, s.Apps, s.Apps*s.Pods, objects, size_>>20, time.Since(start).Seconds())
}
