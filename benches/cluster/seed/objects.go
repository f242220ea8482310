package main

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"log"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	hpav2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"trimtab.dev/benches/cluster/world"
)

var (
	born  = metav1.NewTime(time.Now().Add(-26 * time.Hour).Truncate(time.Second))
	ready = metav1.NewTime(born.Add(9 * time.Second))
)

func ptr[T any](x T) *T { return &x }

func uid(parts ...any) types.UID {
	s := md5.Sum([]byte(fmt.Sprint(parts...)))
	return types.UID(fmt.Sprintf("%x-%x-4%x-9%x-%x", s[:4], s[4:6], s[6:8], s[8:10], s[10:]))[:36]
}

func q(format string, x ...any) resource.Quantity {
	return resource.MustParse(fmt.Sprintf(format, x...))
}

func fields(s string) *metav1.FieldsV1 {
	if !json.Valid([]byte(s)) {
		log.Fatalf("bad fieldsV1 %s", s)
	}
	return &metav1.FieldsV1{Raw: []byte(s)}
}

func meta(ns, name, kind string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: ns, Name: name, UID: uid(kind, ns, name), CreationTimestamp: born, Labels: labels}
}

func containerFields(name string) string {
	return fmt.Sprintf(`"k:{\"name\":\"%s\"}":{".":{},"f:args":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{".":{},"f:limits":{".":{},"f:memory":{}},"f:requests":{".":{},"f:cpu":{},"f:memory":{}}},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{},"f:volumeMounts":{".":{},"k:{\"mountPath\":\"/etc/config\"}":{".":{},"f:mountPath":{},"f:name":{}}}}`, name)
}

var (
	specFields   = fmt.Sprintf(`"f:containers":{%s},"f:dnsPolicy":{},"f:volumes":{".":{},"k:{\"name\":\"config\"}":{".":{},"f:configMap":{".":{},"f:name":{}},"f:name":{}}}`, containerFields("main"))
	podFields    = fields(fmt.Sprintf(`{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/restartedAt":{},"f:prometheus.io/scrape":{}},"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:environment":{},"f:pod-template-hash":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"0\"}":{}}},"f:spec":{%s}}`, specFields))
	statusFields = fields(`{"f:status":{"f:conditions":{"k:{\"type\":\"ContainersReady\"}":{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Initialized\"}":{".":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Ready\"}":{".":{},"f:status":{},"f:type":{}}},"f:containerStatuses":{},"f:hostIP":{},"f:hostIPs":{},"f:phase":{},"f:podIP":{},"f:podIPs":{".":{},"k:{\"ip\":\"10.1.2.3\"}":{".":{},"f:ip":{}}},"f:startTime":{}}}`)
	depFields    = fields(fmt.Sprintf(`{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:progressDeadlineSeconds":{},"f:revisionHistoryLimit":{},"f:selector":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}},"f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{%s}}}}`, specFields))
	hpaFields    = fields(`{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:maxReplicas":{},"f:metrics":{},"f:minReplicas":{},"f:scaleTargetRef":{}}}`)
)

func container(name string, cpu, mem int) corev1.Container {
	return corev1.Container{
		Name: name, Image: "registry.example.com/platform/" + name + ":2.14.3", ImagePullPolicy: corev1.PullIfNotPresent,
		Args:  []string{"--config=/etc/config/service.yaml"},
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		Env: []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}, {Name: "GOMAXPROCS", Value: "2"},
			{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}},
			{Name: "DB_PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "database"}, Key: "password"}}}},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": q("%dm", cpu), "memory": q("%dMi", mem)},
			Limits:   corev1.ResourceList{"memory": q("%dMi", mem*2)}},
		VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/config", ReadOnly: true},
			{Name: "kube-api-access", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080), Scheme: "HTTP"}},
			TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3},
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}
}

func podSpec() corev1.PodSpec {
	return corev1.PodSpec{
		Containers:    []corev1.Container{container("main", world.MainCPU, world.MainMem), container("sidecar", world.SideCPU, world.SideMem)},
		RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, SchedulerName: "default-scheduler",
		ServiceAccountName: "default", DeprecatedServiceAccount: "default", TerminationGracePeriodSeconds: ptr(int64(30)),
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr(true)}, EnableServiceLinks: ptr(true),
		Volumes: []corev1.Volume{
			{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}, DefaultMode: ptr(int32(420))}}},
			{Name: "kube-api-access", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: ptr(int32(420)), Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: ptr(int64(3607)), Path: "token"}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}}}}}}}}},
	}
}

func pod(a *world.App, i int) *corev1.Pod {
	m := meta(a.Namespace, a.Pods[i], "Pod", a.Labels())
	m.Labels["pod-template-hash"] = a.Hash
	m.GenerateName = a.Name + "-" + a.Hash + "-"
	m.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": "2026-11-19T09:14:03Z", "prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
	m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: a.Name + "-" + a.Hash, UID: uid("ReplicaSet", a.Namespace, a.Name), Controller: ptr(true), BlockOwnerDeletion: ptr(true)}}
	m.ManagedFields = []metav1.ManagedFieldsEntry{
		{Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", Time: &born, FieldsType: "FieldsV1", FieldsV1: podFields},
		{Manager: "kubelet", Operation: "Update", APIVersion: "v1", Time: &ready, FieldsType: "FieldsV1", FieldsV1: statusFields, Subresource: "status"}}
	s := podSpec()
	n := a.N*31 + i
	s.NodeName = fmt.Sprintf("node-%04d", n%5000)
	s.PreemptionPolicy, s.Priority = ptr(corev1.PreemptLowerPriority), ptr(int32(0))
	s.Tolerations = []corev1.Toleration{
		{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: ptr(int64(300))},
		{Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: ptr(int64(300))}}
	ip := fmt.Sprintf("10.%d.%d.%d", 1+n>>16&0x7f, n>>8&0xff, n&0xff)
	st := corev1.PodStatus{Phase: corev1.PodRunning, HostIP: "10.0.0.1", HostIPs: []corev1.HostIP{{IP: "10.0.0.1"}}, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, StartTime: &born, QOSClass: corev1.PodQOSBurstable}
	for _, c := range []corev1.PodConditionType{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		st.Conditions = append(st.Conditions, corev1.PodCondition{Type: c, Status: corev1.ConditionTrue, LastTransitionTime: ready})
	}
	for _, c := range s.Containers {
		st.ContainerStatuses = append(st.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, Ready: true, Started: ptr(true), Image: c.Image,
			ImageID:     "registry.example.com/platform/" + c.Name + "@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			ContainerID: fmt.Sprintf("containerd://%x", md5.Sum([]byte(c.Name+a.Pods[i]))) + fmt.Sprintf("%x", md5.Sum([]byte(a.Pods[i]))),
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: ready}}})
	}
	return &corev1.Pod{ObjectMeta: m, Spec: s, Status: st}
}

func deployment(a *world.App) *appsv1.Deployment {
	m := meta(a.Namespace, a.Name, "Deployment", a.Labels())
	m.Generation = 1
	m.Annotations = map[string]string{"deployment.kubernetes.io/revision": "3", "meta.helm.sh/release-name": a.Name}
	m.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "helm", Operation: "Update", APIVersion: "apps/v1", Time: &born, FieldsType: "FieldsV1", FieldsV1: depFields}}
	n := int32(len(a.Pods))
	return &appsv1.Deployment{ObjectMeta: m,
		Spec: appsv1.DeploymentSpec{Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": a.Name}},
			Template:             corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: a.Labels()}, Spec: podSpec()},
			Strategy:             appsv1.DeploymentStrategy{Type: "RollingUpdate", RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: ptr(intstr.FromString("25%")), MaxUnavailable: ptr(intstr.FromString("25%"))}},
			RevisionHistoryLimit: ptr(int32(10)), ProgressDeadlineSeconds: ptr(int32(600))},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n,
			Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: "True", LastUpdateTime: ready, LastTransitionTime: ready, Reason: "MinimumReplicasAvailable", Message: "Deployment has minimum availability."},
				{Type: appsv1.DeploymentProgressing, Status: "True", LastUpdateTime: ready, LastTransitionTime: ready, Reason: "NewReplicaSetAvailable", Message: "ReplicaSet has successfully progressed."}}}}
}

func hpa(a *world.App) *hpav2.HorizontalPodAutoscaler {
	m := meta(a.Namespace, a.Name, "HorizontalPodAutoscaler", a.Labels())
	m.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "helm", Operation: "Update", APIVersion: "autoscaling/v2", Time: &born, FieldsType: "FieldsV1", FieldsV1: hpaFields}}
	util := func(x int32) hpav2.MetricTarget {
		return hpav2.MetricTarget{Type: hpav2.UtilizationMetricType, AverageUtilization: &x}
	}
	avg := func(x int) hpav2.MetricTarget {
		return hpav2.MetricTarget{Type: hpav2.AverageValueMetricType, AverageValue: ptr(q("%d", x))}
	}
	cpu := hpav2.MetricSpec{Type: hpav2.ResourceMetricSourceType, Resource: &hpav2.ResourceMetricSource{Name: "cpu", Target: util(world.CPUTarget)}}
	var ms []hpav2.MetricSpec
	switch a.Kind {
	case world.CPU:
		ms = []hpav2.MetricSpec{cpu}
	case world.CPUMemory:
		ms = []hpav2.MetricSpec{cpu, {Type: hpav2.ResourceMetricSourceType, Resource: &hpav2.ResourceMetricSource{Name: "memory", Target: util(world.MemTarget)}}}
	case world.Container:
		ms = []hpav2.MetricSpec{{Type: hpav2.ContainerResourceMetricSourceType, ContainerResource: &hpav2.ContainerResourceMetricSource{Name: "cpu", Container: "main", Target: util(world.CPUTarget)}}}
	case world.Pods:
		ms = []hpav2.MetricSpec{{Type: hpav2.PodsMetricSourceType, Pods: &hpav2.PodsMetricSource{Metric: hpav2.MetricIdentifier{Name: world.PodsMetric}, Target: avg(world.PodsTarget)}}}
	case world.External:
		ms = []hpav2.MetricSpec{{Type: hpav2.ExternalMetricSourceType, External: &hpav2.ExternalMetricSource{
			Metric: hpav2.MetricIdentifier{Name: world.ExternalMetric, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": a.Name}}}, Target: avg(world.ExternalTarget)}}}
	}
	n := int32(len(a.Pods))
	return &hpav2.HorizontalPodAutoscaler{ObjectMeta: m,
		Spec: hpav2.HorizontalPodAutoscalerSpec{ScaleTargetRef: hpav2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: a.Name},
			MinReplicas: ptr(int32(2)), MaxReplicas: 4 * n, Metrics: ms},
		Status: hpav2.HorizontalPodAutoscalerStatus{CurrentReplicas: n, DesiredReplicas: n}}
}
