package envoy

import (
	"bytes"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
)

// YAML is Bootstrap as a file for envoy --config-path. The comments at its top
// say what whoever runs it has to know.
func YAML(f Front) ([]byte, error) {
	bootstrap, err := Bootstrap(f)
	if err != nil {
		return nil, err
	}
	body, err := toYAML(bootstrap)
	if err != nil {
		return nil, fmt.Errorf("write bootstrap: %w", err)
	}
	return append(comment(bootstrapNotes(f)), body...), nil
}

// FilterYAML is Filter as two lists to paste into an Envoy configuration. The
// settings that the connection manager needs stand above them as comments.
func FilterYAML(f Front) ([]byte, error) {
	filter, cluster, err := Filter(f)
	if err != nil {
		return nil, err
	}
	guard, err := parsed{Front: f}.guard()
	if err != nil {
		return nil, fmt.Errorf("build connection manager: %w", err)
	}
	var out bytes.Buffer
	settings, err := toYAML(guard)
	if err != nil {
		return nil, fmt.Errorf("write connection manager: %w", err)
	}
	out.Write(comment(fmt.Sprintf(filterNotes, f.TrustedHops) + "\n\n" + indent(string(settings))))
	for _, list := range []struct {
		name string
		item proto.Message
	}{{"http_filters", filter}, {"clusters", cluster}} {
		item, err := toYAML(list.item)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", list.name, err)
		}
		fmt.Fprintf(&out, "%s:\n- %s\n", list.name, strings.TrimSpace(indent(string(item))))
	}
	return out.Bytes(), nil
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ")
}

func comment(text string) []byte {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(strings.TrimRight("# "+line, " \n") + "\n")
	}
	out.WriteString("\n")
	return []byte(out.String())
}

// bootstrapNotes say what the settings cannot: what has to fit on tollgate's
// side, and what passes without a check.
func bootstrapNotes(f Front) string {
	notes := []string{
		`Envoy in front of one service, asking tollgate about every request.
Made by "tollgate envoy bootstrap" for Envoy 1.36 and newer. Run it as
  envoy --config-path FILE`,

		fmt.Sprintf(`tollgate's configuration has to say the same about proxies in front of Envoy:
  client_ip: {trusted_hops: %d}`, f.TrustedHops),

		`The listener speaks HTTP without TLS: terminate TLS before it, and count that
proxy in trusted_hops, or give the filter chain a transport_socket.`,

		`failure_mode_allow is left out because its default is false: while tollgate does
not answer, every request gets 503 with code R0. The access log has no header that
may hold a credential, and no query.`,
	}
	if f.TokenEndpoint != "" {
		notes[1] = fmt.Sprintf(`tollgate's configuration has to say the same about proxies: those in front of Envoy,
and Envoy itself in front of listen.http:
  client_ip: {trusted_hops: %d, http_trusted_hops: %d}`, f.TrustedHops, uint64(f.TrustedHops)+1)
		notes = append(notes, `The route "tokens" goes to tollgate's token endpoint without a check.`)
	}
	if f.CheckTLS != nil || f.TokenEndpointTLS != nil {
		notes = append(notes, `Of the connections to tollgate Envoy reads authorities and its own certificate once,
when it starts: start it anew when they change. tollgate's certificate may change.`)
	}
	if len(f.CORS) > 0 {
		notes = append(notes, `Preflights from the allowed origins are answered here, without a check.`)
	}
	return strings.Join(notes, "\n\n")
}

const filterNotes = `The ext_authz filter that asks tollgate about every request, and the cluster of its
Check service, for Envoy 1.36 and newer. Made by "tollgate envoy filter".

The filter goes before envoy.filters.http.router, and after envoy.filters.http.cors
where there is one. failure_mode_allow is left out because its default is false.
tollgate's configuration has to say the same about proxies in front of Envoy:
  client_ip: {trusted_hops: %d}

The connection manager around it needs these settings. Without them callers can forge
headers and addresses, or have another path checked than the one they reach:`
