{{/* SPDX-License-Identifier: BSD-3-Clause */}}
{{/* Rules of network policies that several of them share. */}}

{{/* The first address of a network (CIDR) and the first one behind it, as numbers. */}}
{{- define "k8smgr.span" -}}
{{- $parts := splitList "/" . }}
{{- $address := 0 }}
{{- range splitList "." (first $parts) }}{{ $address = add (mul $address 256) (int64 .) }}{{ end }}
{{- $size := 1 }}
{{- range until (int (sub 32 (int (last $parts)))) }}{{ $size = mul $size 2 }}{{ end }}
{{- $first := mul (div $address $size) $size }}
{{- printf "%d %d" $first (add $first $size) }}
{{- end }}

{{/* The ipBlock of a network without others; fails if it lies within one of them.
     Called with (dict "network" CIDR "without" (list CIDR …) "where" NAME-OF-THE-VALUE). */}}
{{- define "k8smgr.block" -}}
{{- $own := splitList " " (include "k8smgr.span" .network) }}
{{- $except := list }}
{{- range uniq .without }}
{{- $other := splitList " " (include "k8smgr.span" .) }}
{{- if and (le (int64 (first $other)) (int64 (first $own))) (ge (int64 (last $other)) (int64 (last $own))) }}
{{- fail (printf "%s: %s lies within %s, which labs must not reach; allow single services of the cluster by a NetworkPolicy of your own" $.where $.network .) }}
{{- end }}
{{- if and (ge (int64 (first $other)) (int64 (first $own))) (le (int64 (last $other)) (int64 (last $own))) }}
{{- $except = append $except . }}
{{- end }}
{{- end }}
{{- $block := dict "cidr" .network }}
{{- with $except }}{{ $_ := set $block "except" . }}{{ end }}
{{- toYaml (dict "ipBlock" $block) }}
{{- end }}

{{/* Where a component of this chart is, seen from another namespace; called with (dict "root" $ "component" NAME). */}}
{{- define "k8smgr.peer" -}}
namespaceSelector:
  matchLabels: {kubernetes.io/metadata.name: {{ .root.Release.Namespace }}}
podSelector:
  matchLabels:
    {{- include "k8smgr.selector" . | nindent 4 }}
{{- end }}

{{/* The egress rules by which a pod asks the name service; called with $. */}}
{{- define "k8smgr.dns" -}}
{{- $dns := .Values.cluster.dns -}}
- to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ $dns.namespace }}}
      podSelector:
        matchLabels:
          {{- toYaml ($dns.podLabels | default (dict "k8s-app" "kube-dns")) | nindent 10 }}
    {{- range $dns.networks }}
    - ipBlock: {cidr: {{ . }}}
    {{- end }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{/* The port of an address; called with the address. */}}
{{- define "k8smgr.port" -}}
{{- $known := dict "https" 443 "http" 80 "ssh" 22 "" 22 }}
{{- if contains "://" . }}
{{- $parts := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $parts.host | trimPrefix ":" }}
{{- $port | default (get $known $parts.scheme) }}
{{- else }}22{{ end }}
{{- end }}
