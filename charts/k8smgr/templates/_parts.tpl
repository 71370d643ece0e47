{{/* SPDX-License-Identifier: BSD-3-Clause */}}
{{/* Parts that several templates share. Each says what it is called with. */}}

{{/* Labels of everything of a component; called with (dict "root" $ "component" NAME). */}}
{{- define "k8smgr.labels" -}}
{{ include "k8smgr.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* Labels by which the pods of a component are selected; they never change. Called like the labels. */}}
{{- define "k8smgr.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* What Pod Security "restricted" wants of a pod, and a user of our own; called with nothing. */}}
{{- define "k8smgr.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* The same of a container. */}}
{{- define "k8smgr.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The hubs, each with all of its values, as YAML; called with $. */}}
{{- define "k8smgr.hubs" -}}
{{- $hubs := dict }}
{{- range $name, $hub := .Values.hubs }}
{{- $_ := set $hubs $name (merge (dict) $hub (dict "forwardPort" 8081 "apiUrl" "")) }}
{{- end }}
{{- toYaml $hubs }}
{{- end }}

{{/* "true" if K8sMgr itself speaks TLS, empty if an ingress does or nobody; called with $. */}}
{{- define "k8smgr.ownTls" -}}
{{- if and .Values.manager.tlsSecret (ne .Values.manager.expose "ingress") }}true{{ end }}
{{- end }}

{{/* What K8sMgr reads at its start, as YAML; called with $. */}}
{{- define "k8smgr.settings" -}}
{{- $manager := .Values.manager }}
{{- $secrets := "/run/secrets/jsc" }}
{{- $hubs := dict }}
{{- range $name, $hub := include "k8smgr.hubs" . | fromYaml }}
{{- $forward := printf "http://jhub.%s.svc:%d/hub/api" $.Release.Namespace (int $hub.forwardPort) }}
{{- $_ := set $hubs $name (dict "api_url" ($hub.apiUrl | default $forward) "token_file" (printf "%s/%s.token" $secrets $name)) }}
{{- end }}
{{- $settings := dict "host" "0.0.0.0" "port" 8003 "name" $manager.name "hubs" $hubs }}
{{- $_ := set $settings "callers_file" (printf "%s/callers.yaml" $secrets) }}
{{- /* The kubelet swaps the link ..data when the ConfigMap changes, as `config sync` swaps `current`. */}}
{{- $link := ternary "/var/lib/jsc/configuration/current" "/var/lib/jsc/configuration/..data" (ne .Values.configuration.git.repository "") }}
{{- $_ := set $settings "configuration" $link }}
{{- if include "k8smgr.ownTls" . }}
{{- $_ := set $settings "certificate_file" "/run/secrets/tls/tls.crt" }}
{{- $_ := set $settings "key_file" "/run/secrets/tls/tls.key" }}
{{- end }}
{{- toYaml $settings }}
{{- end }}
