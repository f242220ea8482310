// A server of custom.metrics.k8s.io and external.metrics.k8s.io whose custom values are those that a test POSTs: the
// sample provider of Kubernetes' custom-metrics-apiserver, with an address of its own for the writing, so that
// several clusters have one each. (The sample's own program always writes on port 8080 of all addresses.)
package main

import (
	"context"
	"net/http"
	"os"
	"time"

	"github.com/emicklei/go-restful/v3"
	"k8s.io/klog/v2"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/cmd"
	"sigs.k8s.io/custom-metrics-apiserver/test-adapter/provider"
)

func main() {
	server := &cmd.AdapterBase{Name: "sample-metrics"}
	address := server.Flags().String("write-address", "127.0.0.1:8080", "where values are written, by POST to /write-metrics")
	if err := server.Flags().Parse(os.Args); err != nil {
		klog.Fatal(err)
	}
	client, err := server.DynamicClient()
	if err != nil {
		klog.Fatal(err)
	}
	mapper, err := server.RESTMapper()
	if err != nil {
		klog.Fatal(err)
	}
	values, service := provider.NewFakeProvider(client, mapper)
	server.WithCustomMetrics(values)
	server.WithExternalMetrics(values)

	writes := restful.NewContainer()
	writes.Add(service)
	writer := &http.Server{Addr: *address, Handler: writes, ReadHeaderTimeout: 3 * time.Second}
	go func() { klog.Fatal(writer.ListenAndServe()) }()
	klog.Fatal(server.Run(context.Background()))
}
