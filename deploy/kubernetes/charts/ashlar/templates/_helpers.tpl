{{- define "ashlar.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "ashlar.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Where the container has the devices, in their order: this is what the pool remembers. */ -}}
{{- define "ashlar.device" -}}/dev/ashlar/{{ . }}{{- end }}

{{- define "ashlar.devices" -}}
volumeDevices:
  {{- range $i, $device := . }}
  - {name: device-{{ $i }}, devicePath: {{ include "ashlar.device" $i }}}
  {{- end }}
{{- end }}

{{- define "ashlar.confined" -}}
securityContext:
  runAsNonRoot: true
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
  seccompProfile:
    type: {{ .Values.seccomp.type }}
    {{- if eq .Values.seccomp.type "Localhost" }}
    localhostProfile: {{ .Values.seccomp.profile }}
    {{- end }}
{{- end }}
