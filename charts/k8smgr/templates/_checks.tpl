{{/* SPDX-License-Identifier: BSD-3-Clause */}}
{{/* What depends on several values, and so cannot stand in the schema. Each mistake says what to do; called with $. */}}
{{- define "k8smgr.check" -}}
{{- $values := .Values }}
{{- if not $values.hubs }}
{{- fail "hubs is empty: name the portal that starts labs here, with the public key of its TunnelMgr" }}
{{- end }}
{{- $ports := dict }}
{{- range $name, $hub := include "k8smgr.hubs" . | fromYaml }}
{{- $port := toString (int $hub.forwardPort) }}
{{- if hasKey $ports $port }}
{{- fail (printf "hubs.%s.forwardPort: %s is that of hub %s already; each hub needs another one" $name $port (get $ports $port)) }}
{{- end }}
{{- if eq $port "2222" }}
{{- fail (printf "hubs.%s.forwardPort: the SSH service itself listens at 2222; take another one" $name) }}
{{- end }}
{{- $_ := set $ports $port $name }}
{{- end }}
{{- $git := $values.configuration.git }}
{{- if and $git.repository $values.configuration.files }}
{{- fail "configuration: give git.repository or files, not both" }}
{{- end }}
{{- if not (or $git.repository $values.configuration.files) }}
{{- fail "configuration: give git.repository (the portal's configuration) or files" }}
{{- end }}
{{- if and (ne $git.access "none") (not $git.secret) }}
{{- fail (printf "configuration.git.secret: access by %s needs the name of the Secret with its credentials" $git.access) }}
{{- end }}
{{- if regexMatch "://[^/]*:[^/]*@" $git.repository }}
{{- fail "configuration.git.repository: a password has no place in an address; put it into a Secret and set access to https" }}
{{- end }}
{{- $manager := $values.manager }}
{{- if ne $manager.expose "none" }}
{{- if not $manager.host }}
{{- fail (printf "manager.host: expose %s needs the name by which the portal reaches K8sMgr" $manager.expose) }}
{{- end }}
{{- if not $manager.tlsSecret }}
{{- fail (printf "manager.tlsSecret: expose %s needs the Secret with the certificate for %s" $manager.expose $manager.host) }}
{{- end }}
{{- end }}
{{- if eq $values.labs.namespace .Release.Namespace }}
{{- fail (printf "labs.namespace: labs need a namespace of their own, other than the %s of this release" .Release.Namespace) }}
{{- end }}
{{- if and $values.labs.egress (not $values.cluster.networks) }}
{{- fail "cluster.networks: labs.egress needs the networks of pods, Services, nodes and API server, which are left out of it" }}
{{- end }}
{{- end }}
