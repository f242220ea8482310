# etcd, kube-apiserver and metricsd on loopback, seeded to a size; Prometheus where the mix has it. Sourced by `run`.
etcd=$((PORT - 4064)) peer=$((PORT - 4063)) metrics=$((PORT + 7)) control=$((PORT + 8)) prometheus=$((PORT + 9)) pki=$STATE/pki
PATH=$PATH:$root/tests/tools/bin

quiet() { "$@" 2>/dev/null; }
autonice() { { echo "$2" >"/proc/$1/autogroup"; } 2>/dev/null || true; }
certificates() {
  [ ! -f "$pki/done" ] || return 0
  mkdir -p "$pki"
  (cd "$pki"
  quiet openssl genrsa -out sa.key 2048; quiet openssl rsa -in sa.key -pubout -out sa.pub
  for ca in ca front-proxy-ca; do quiet openssl req -x509 -newkey rsa:2048 -nodes -keyout $ca.key -out $ca.crt -days 365 -subj "/CN=$ca"; done
  # An extension makes a certificate X.509 v3; rustls refuses v1 ones, also as client certificates.
  certificate() { quiet openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2"
    quiet openssl x509 -req -in "$1.csr" -CA "$3.crt" -CAkey "$3.key" -CAcreateserial -out "$1.crt" -days 365 \
      -extfile <(echo "${4:+subjectAltName=}${4:-extendedKeyUsage=clientAuth}"); }
  certificate front-proxy "/CN=front-proxy-client" front-proxy-ca
  certificate serving "/CN=kube-apiserver" ca "IP:127.0.0.1,DNS:localhost"
  certificate admin "/O=system:masters/CN=admin" ca
  certificate controllers "/CN=system:kube-controller-manager" ca
  touch done)
}
start() { local name=$1; shift; nice -n "$NICE" "$@" >"$RUN/log/$name.log" 2>&1 & echo $! >"$RUN/$name.pid"; }
await() { # what seconds command...
  local what=$1 until=$((SECONDS + $2)); shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || { echo "run: $what did not come; the logs are in $RUN/log" >&2; return 1; }
    sleep 0.2
  done
}
down() {
  local file pid
  for file in "$RUN"/*.pid; do
    [ -f "$file" ] || continue
    pid=$(cat "$file"); kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true; rm -f "$file"
  done
  # A gigabyte at L; the logs stay.
  rm -rf "$RUN/etcd" "$RUN/prometheus"
}
up() {
  local size=$1 user n extra=
  down; certificates; rm -rf "$RUN"; mkdir -p "$RUN"/log
  for user in admin controllers; do cat >"$RUN/$user.kubeconfig" <<Y
apiVersion: v1
kind: Config
current-context: local
clusters: [{name: local, cluster: {server: "https://127.0.0.1:$PORT", certificate-authority: $pki/ca.crt}}]
users: [{name: $user, user: {client-certificate: $pki/$user.crt, client-key: $pki/$user.key}}]
contexts: [{name: local, context: {cluster: local, user: $user}}]
Y
  done
  start etcd "$BIN/etcd" --data-dir "$RUN/etcd" --unsafe-no-fsync --quota-backend-bytes 8589934592 --listen-client-urls "http://127.0.0.1:$etcd" \
    --advertise-client-urls "http://127.0.0.1:$etcd" --listen-peer-urls "http://127.0.0.1:$peer"
  await etcd 20 curl -sf "http://127.0.0.1:$etcd/health"
  "$STATE/bin/seed" -size "$size" -mix "$MIX" -etcd "http://127.0.0.1:$etcd"
  start metricsd "$STATE/bin/metricsd" -size "$size" -mix "$MIX" -listen "127.0.0.1:$metrics" -control "127.0.0.1:$control" \
    -cert "$pki/serving.crt" -key "$pki/serving.key" -jitter "$JITTER"
  start apiserver "$BIN/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd" --secure-port "$PORT" --bind-address 127.0.0.1 \
    --tls-cert-file "$pki/serving.crt" --tls-private-key-file "$pki/serving.key" --client-ca-file "$pki/ca.crt" \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$pki/sa.pub" --service-account-signing-key-file "$pki/sa.key" \
    --service-cluster-ip-range 10.0.0.0/16 --authorization-mode RBAC,Node --disable-admission-plugins ServiceAccount,TaintNodesByCondition \
    --requestheader-client-ca-file "$pki/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
    --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group --requestheader-extra-headers-prefix X-Remote-Extra- \
    --proxy-client-cert-file "$pki/front-proxy.crt" --proxy-client-key-file "$pki/front-proxy.key" \
    --max-requests-inflight 3000 --max-mutating-requests-inflight 1000 --event-ttl 10m
  export KUBECONFIG=$RUN/admin.kubeconfig
  await "kube-apiserver's readiness" 90 "$BIN/kubectl" get --raw /readyz
  "$BIN/kubectl" apply -f - >/dev/null <<Y
apiVersion: v1
kind: Service
metadata: {name: metricsd, namespace: kube-system}
spec: {type: ExternalName, externalName: localhost, ports: [{port: $metrics}]}
$(for api in metrics.k8s.io/v1beta1/100 custom.metrics.k8s.io/v1beta1/100 custom.metrics.k8s.io/v1beta2/200 external.metrics.k8s.io/v1beta1/100; do
  IFS=/ read -r group version priority <<<"$api"; cat <<Z
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: $version.$group}
spec: {group: $group, version: $version, groupPriorityMinimum: 100, versionPriority: $priority, insecureSkipTLSVerify: true, service: {name: metricsd, namespace: kube-system, port: $metrics}}
Z
done)
Y
  "$BIN/kubectl" wait --for=condition=Available --timeout=60s apiservice v1beta1.metrics.k8s.io v1beta1.custom.metrics.k8s.io v1beta2.custom.metrics.k8s.io v1beta1.external.metrics.k8s.io >/dev/null
  local url=
  if [ "$MIX" = prometheus ]; then
    url=http://127.0.0.1:$prometheus
    cat >"$RUN/prometheus.yml" <<Y
scrape_configs:
- {job_name: applications, honor_labels: true, scrape_interval: 15s, static_configs: [{targets: ["127.0.0.1:$control"]}]}
Y
    cat >"$RUN/trimtab.yaml" <<Y
prometheus: {main: {url: "$url"}}
metrics:
  http_requests_per_second:
    type: Pods
    query: sum by (pod) (rate(http_requests_total{namespace="\$namespace",pod=~"\$pods"}[1m]))
  queue_messages_ready:
    type: External
    query: sum(queue_messages_ready{namespace="\$namespace",\$selector})
Y
    start prometheus prometheus --config.file "$RUN/prometheus.yml" --storage.tsdb.path "$RUN/prometheus" --web.listen-address "127.0.0.1:$prometheus" --log.level warn
    await Prometheus 30 curl -sf "$url/-/ready"
    extra=", \"prometheus\": $(cat "$RUN/prometheus.pid")"
  fi
  if [ "$BUSY" = 1 ]; then for n in $(seq "$(nproc)"); do
    BENCH_SESSION=1 setsid chrt --idle 0 sh -c 'while :; do :; done' </dev/null >/dev/null 2>&1 &
    echo $! >"$RUN/spin$n.pid"; sleep 0.2; autonice $! 19; extra+=", \"spin$n\": $!"; done; fi
  cat >"$RUN/cluster.json" <<Y
{"size": "$size", "mix": "$MIX", "api": "https://127.0.0.1:$PORT", "kubeconfig": "$RUN/admin.kubeconfig", "control": "http://127.0.0.1:$control",
 "prometheus": "$url", "jitter": $JITTER, "busy": $BUSY, "places": {"pki": "$pki", "prometheus": "$url"},
 "pids": {"apiserver": $(cat "$RUN/apiserver.pid"), "etcd": $(cat "$RUN/etcd.pid"), "metricsd": $(cat "$RUN/metricsd.pid")$extra}}
Y
}
