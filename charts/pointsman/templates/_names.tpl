{{- define "gateway.selector" -}}
app.kubernetes.io/name: pointsman
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: pointsman
{{- end -}}

{{/* A name of the whole cluster's. */}}
{{- define "gateway.clusterName" -}}{{ .Release.Namespace }}-{{ .Release.Name }}{{- end -}}

{{- define "gateway.flags" -}}
{{- range $name, $value := . }}
- --{{ $name }}{{ if not (and (kindIs "bool" $value) $value) }}={{ $value }}{{ end }}
{{- end }}
{{- end -}}

{{- define "gateway.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
