{{- define "gateway.selector" -}}
app.kubernetes.io/name: pointsman
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "router.selector" -}}
app.kubernetes.io/name: pointsman-bbr
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gateway.common" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: pointsman
{{- end -}}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
{{ include "gateway.common" . }}
{{- end -}}

{{- define "router.labels" -}}
{{ include "router.selector" . }}
{{ include "gateway.common" . }}
{{- end -}}

{{/* A name of the whole cluster's. */}}
{{- define "gateway.clusterName" -}}{{ .Release.Namespace }}-{{ .Release.Name }}{{- end -}}

{{/* The Envoys of all Gateways, whose Pods the control plane labels. */}}
{{- define "gateway.envoys" -}}
- namespaceSelector: {}
  podSelector:
    matchLabels: {app.kubernetes.io/managed-by: pointsman}
{{- end -}}

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

{{/* What Pods of both Deployments share. */}}
{{- define "gateway.pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
{{- end -}}

{{- define "gateway.spread" -}}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- $.selector | nindent 8 }}
  {{- end }}
{{- end -}}
