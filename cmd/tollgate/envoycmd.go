package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/envoy"
)

func (a *app) envoyCommand() *cobra.Command {
	return group("envoy", "Print Envoy configuration in front of this one", a.envoyBootstrap(), a.envoyFilter())
}

func (a *app) envoyBootstrap() *cobra.Command {
	var listen, admin, upstream, check, tokenEndpoint string
	var withTokens, http2 bool
	var secure frontTLS
	c := &cobra.Command{
		Use: "bootstrap --upstream HOST:PORT", Short: "Print a complete, hardened Envoy configuration", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.loadConfig()
			if err != nil {
				return err
			}
			f := newFront(c)
			f.Listen, f.Admin, f.Upstream, f.UpstreamHTTP2 = listen, admin, upstream, http2
			if check != "" {
				f.Check = check
			}
			if f.TokenEndpoint = tokenEndpoint; withTokens && tokenEndpoint == "" {
				f.TokenEndpoint = c.Listen.HTTP
			}
			if err := secure.apply(&f, &c.Listen); err != nil {
				return err
			}
			if err := f.Validate(); err != nil {
				return usageError{err}
			}
			if hops := c.ClientIP.TrustedHops + 1; f.TokenEndpoint != "" && c.ClientIP.HTTPTrustedHops != hops {
				_, _ = fmt.Fprintf(a.err, "tollgate: warning: client_ip.http_trusted_hops is %d, but %d proxies stand in front of the token endpoint, this Envoy among them: callers would share one budget of failures, and trusted addresses would not be seen\n", c.ClientIP.HTTPTrustedHops, hops)
			}
			text, err := envoy.YAML(f)
			if err != nil {
				return err
			}
			a.printf("%s", text)
			return nil
		},
	}
	c.Flags().StringVar(&upstream, "upstream", "", "`HOST:PORT` of the service that is protected")
	c.Flags().StringVar(&listen, "listen", "0.0.0.0:8080", "`ADDR` that callers reach")
	c.Flags().StringVar(&admin, "admin", envoy.DefaultAdmin, "`ADDR` of Envoy's admin interface")
	c.Flags().BoolVar(&withTokens, "with-token-endpoint", false, "route the token endpoint's paths to listen.http")
	c.Flags().StringVar(&check, "check", "", "`ADDR` where Envoy reaches the Check service (default: listen.check)")
	c.Flags().StringVar(&tokenEndpoint, "token-endpoint", "", "`ADDR` where Envoy reaches the token endpoint; routes its paths there")
	c.Flags().BoolVar(&http2, "upstream-http2", false, "speak HTTP/2 to the upstream, as gRPC services need")
	secure.addFlags(c)
	return c
}

func (a *app) envoyFilter() *cobra.Command {
	var check string
	var secure frontTLS
	c := &cobra.Command{
		Use: "filter", Short: "Print the ext_authz filter and its cluster alone", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.loadConfig()
			if err != nil {
				return err
			}
			f := newFront(c)
			if check != "" {
				f.Check = check
			}
			if err := secure.apply(&f, &c.Listen); err != nil {
				return err
			}
			text, err := envoy.FilterYAML(f)
			if err != nil {
				return err
			}
			a.printf("%s", text)
			return nil
		},
	}
	c.Flags().StringVar(&check, "check", "", "`ADDR` where Envoy reaches the Check service (default: listen.check)")
	secure.addFlags(c)
	return c
}

// newFront is the Envoy that this configuration expects in front of it.
func newFront(c *config.Config) envoy.Front {
	f := envoy.Front{Check: c.Listen.Check, TrustedHops: uint32(c.ClientIP.TrustedHops)}
	for i := range c.APIs {
		api := &c.APIs[i]
		f.KeepEscapedSlashes = f.KeepEscapedSlashes || slices.Contains(api.AllowInPath, "%2f")
		if api.TakesAPIKeys() && api.APIKey.Header != "" && !slices.Contains(f.APIKeyHeaders, api.APIKey.Header) {
			f.APIKeyHeaders = append(f.APIKeyHeaders, api.APIKey.Header)
		}
		if api.CORS != nil {
			f.CORS = append(f.CORS, envoy.CORS{Hosts: slices.Concat(api.Hosts, api.SandboxHosts), AllowOrigins: api.CORS.AllowOrigins})
		}
	}
	return f
}
