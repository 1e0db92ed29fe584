{{- define "picker.name" -}}{{ .Release.Name }}-epp{{- end -}}

{{- define "picker.selector" -}}
inferencepool: {{ include "picker.name" . }}
{{- end -}}

{{- define "picker.labels" -}}
{{ include "picker.selector" . }}
app.kubernetes.io/name: endpoint-picker
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: pointsman
{{- end -}}

{{- define "pool.group" -}}{{ (split "/" .Values.inferencePool.apiVersion)._0 }}{{- end -}}

{{/* Ports of the model servers, as a list of numbers. */}}
{{- define "pool.ports" -}}
{{- with .Values.inferencePool.targetPortNumber -}}
{{ list (int .) | toJson }}
{{- else -}}
{{- $ports := list -}}
{{- range .Values.inferencePool.targetPorts }}{{ $ports = append $ports (int .number) }}{{ end -}}
{{ $ports | toJson }}
{{- end -}}
{{- end -}}
