package envoy

import (
	"slices"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// tokenPaths is a regular expression for the whole path of a request to the
// token endpoint. It is narrow, since the management API and the console live on
// the same listener and are not for everybody: the prefix /oauth2/ would pass
// /oauth2/..%2fclients on where escaped slashes are kept.
const tokenPaths = `/auth/token|/oauth2/[a-z_-]+|/\.well-known/oauth-authorization-server|/\.well-known/jwks\.json`

// tokenTimeout is more than tollgate itself takes before it gives up.
const tokenTimeout = 10 * time.Second

// httpFilters are the filters in the order in which a request meets them.
func (p parsed) httpFilters() ([]*hcmv3.HttpFilter, error) {
	var filters []*hcmv3.HttpFilter
	if len(p.CORS) > 0 {
		cors, err := corsFilter()
		if err != nil {
			return nil, err
		}
		filters = append(filters, cors)
	}
	check, err := p.checkFilter()
	if err != nil {
		return nil, err
	}
	// No x-envoy-upstream-service-time and the like for callers.
	router, err := httpFilter("envoy.filters.http.router", &routerv3.Router{SuppressEnvoyHeaders: true})
	return append(filters, check, router), err
}

// routes has a virtual host for each group of hosts with a CORS policy, and one
// for all others. Which hosts and paths exist is tollgate's to know: everything
// goes to the upstream, if tollgate lets it.
func (p parsed) routes() (*routev3.RouteConfiguration, error) {
	routes, err := p.hostRoutes()
	if err != nil {
		return nil, err
	}
	config := &routev3.RouteConfiguration{Name: "front"}
	all := false
	for _, entry := range p.CORS {
		host := &routev3.VirtualHost{Name: entry.Hosts[0], Domains: entry.Hosts, Routes: routes}
		if len(entry.AllowOrigins) > 0 {
			policy, err := anypb.New(p.corsPolicy(entry))
			if err != nil {
				return nil, err
			}
			host.TypedPerFilterConfig = map[string]*anypb.Any{corsFilterName: policy}
		}
		config.VirtualHosts = append(config.VirtualHosts, host)
		all = all || slices.Contains(entry.Hosts, "*")
	}
	if !all {
		config.VirtualHosts = append(config.VirtualHosts, &routev3.VirtualHost{Name: "*", Domains: []string{"*"}, Routes: routes})
	}
	return config, nil
}

func (p parsed) hostRoutes() ([]*routev3.Route, error) {
	toUpstream := &routev3.Route{
		Name:  "upstream",
		Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		// The upstream may take its time: downloads and streams have no end
		// that is known here. stream_idle_timeout ends what stands still.
		Action: forward(upstreamCluster, 0),
	}
	if p.TokenEndpoint == "" {
		return []*routev3.Route{toUpstream}, nil
	}
	unchecked, err := anypb.New(&extauthzv3.ExtAuthzPerRoute{Override: &extauthzv3.ExtAuthzPerRoute_Disabled{Disabled: true}})
	toTokens := &routev3.Route{
		Name:                 "tokens",
		Match:                &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: tokenPaths}}},
		Action:               forward(tokenCluster, tokenTimeout),
		TypedPerFilterConfig: map[string]*anypb.Any{filterName: unchecked},
	}
	return []*routev3.Route{toTokens, toUpstream}, err
}

func forward(cluster string, timeout time.Duration) *routev3.Route_Route {
	return &routev3.Route_Route{Route: &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster},
		Timeout:          durationpb.New(timeout),
	}}
}
