{{- define "ashlar-csi.driver" -}}csi.ashlar.dev{{- end }}

{{- define "ashlar-csi.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "ashlar-csi.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* What pods are found by, which never changes. Call with (list . "controller"). */ -}}
{{- define "ashlar-csi.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ $.Chart.Name }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "ashlar-csi.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* One table of TOML: {"a": "b"} as { "a" = "b" }. */ -}}
{{- define "ashlar-csi.table" -}}
{ {{- range $i, $key := keys . | sortAlpha }}{{ if $i }},{{ end }} {{ $key | toJson }} = {{ get $ $key | toJson }}{{ end }} }
{{- end }}

{{- define "ashlar-csi.endpoints" -}}
{{- range .Values.endpoints }}
[[endpoints]]
name = {{ .name | toJson }}
urls = {{ .urls | toJson }}
tokenFile = {{ printf "/etc/ashlar-csi/%s.token" .name | toJson }}
ca = "/etc/ashlar-csi/ca.crt"
{{- with .portals }}
portals = {{ . | toJson }}
{{- end }}
{{- with .topology }}
topology = {{ include "ashlar-csi.table" . }}
{{- end }}
{{ end }}
{{- end }}

{{- /* A container of a pod without any right but to speak to its socket. */ -}}
{{- define "ashlar-csi.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* Call with (list . "attacher"). */ -}}
{{- define "ashlar-csi.sidecarImage" -}}
{{- $ := index . 0 -}}
{{- $sidecar := get $.Values.sidecars (index . 1) -}}
image: {{ printf "%s/%s" $.Values.sidecars.registry $sidecar.image }}
imagePullPolicy: {{ $.Values.sidecars.pullPolicy }}
{{- with $sidecar.resources }}
resources: {{ toJson . }}
{{- end }}
{{- end }}

{{- /*
A sidecar of the controller: (list . "attacher" 8082 (list "--flag" …)). It speaks to the plugin by its
socket and to the API server by a token that no other container of the pod has.
*/ -}}
{{- define "ashlar-csi.sidecar" -}}
{{- $ := index . 0 -}}
{{- $name := index . 1 -}}
{{- $port := index . 2 -}}
- name: {{ kebabcase $name }}
  {{- include "ashlar-csi.sidecarImage" (list $ $name) | nindent 2 }}
  args:
    - --csi-address=/csi/csi.sock
    - --leader-election
    - --leader-election-namespace=$(NAMESPACE)
    - --http-endpoint=:{{ $port }}
    # Of 5 a second, which is the default, a node with 100 volumes would be 20 seconds away.
    - --kube-api-qps=50
    - --kube-api-burst=100
    {{- range index . 3 }}
    - {{ . }}
    {{- end }}
    {{- range (get $.Values.sidecars $name).args }}
    - {{ . | quote }}
    {{- end }}
  env:
    - name: NAMESPACE
      valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
    {{- if eq $name "provisioner" }}
    - name: POD_NAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    {{- end }}
  ports:
    - {name: {{ printf "m-%d" (int $port) }}, containerPort: {{ $port }}}
  livenessProbe:
    httpGet: {path: /healthz/leader-election, port: {{ $port }}}
    initialDelaySeconds: 20
    timeoutSeconds: 10
    periodSeconds: 20
  {{- include "ashlar-csi.confined" $ | nindent 2 }}
  volumeMounts:
    - {name: socket, mountPath: /csi}
    - {name: api-access, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}

{{- /* As kubelet would mount it in every container. */ -}}
{{- define "ashlar-csi.apiAccess" -}}
- name: api-access
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
      - downwardAPI:
          items:
            - path: namespace
              fieldRef: {fieldPath: metadata.namespace}
{{- end }}

{{- /* Configuration and tokens in one folder: (list . CONFIGMAP SECRET); a Secret of "": none. */ -}}
{{- define "ashlar-csi.config" -}}
- name: config
  projected:
    # Readable by the group of the pod alone.
    defaultMode: 288 # 0440
    sources:
      - configMap: {name: {{ index . 1 }}}
      {{- with index . 2 }}
      - secret: {name: {{ . }}}
      {{- end }}
{{- end }}

{{- /* The plugin itself is alive when it answers Probe; a sidecar asks it for kubelet. */ -}}
{{- define "ashlar-csi.pluginProbe" -}}
livenessProbe:
  httpGet:
    path: /healthz
    port: {{ .port }}
    {{- with .host }}
    host: {{ . }}
    {{- end }}
  initialDelaySeconds: 10
  timeoutSeconds: 5
  periodSeconds: 15
  failureThreshold: 4
{{- end }}
