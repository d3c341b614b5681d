package envoy

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// listenerName is how Process.ListenerAddr knows the front from other
// listeners.
const listenerName = "front"

// maxConnections is how many callers may be connected at once.
const maxConnections = 20000

// Bootstrap is a complete Envoy configuration for the Front. It uses nothing
// that came after Envoy 1.36.
func Bootstrap(f Front) (*bootstrapv3.Bootstrap, error) {
	p, err := f.parse()
	if err != nil {
		return nil, err
	}
	listener, err := p.listener()
	if err != nil {
		return nil, fmt.Errorf("build listener: %w", err)
	}
	clusters, err := p.clusters()
	if err != nil {
		return nil, fmt.Errorf("build clusters: %w", err)
	}
	overload, err := connectionLimit()
	if err != nil {
		return nil, fmt.Errorf("build connection limit: %w", err)
	}
	return &bootstrapv3.Bootstrap{
		Node:  &corev3.Node{Id: p.Node, Cluster: p.Node},
		Admin: &bootstrapv3.Admin{Address: bind(p.admin)},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Listeners: []*listenerv3.Listener{listener},
			Clusters:  clusters,
		},
		OverloadManager: overload,
	}, nil
}

// Filter is the ext_authz filter and the cluster of the Check service alone,
// for an Envoy that is configured otherwise. Only Check, CheckTLS and
// APIKeyHeaders of the Front are used. What the connection manager around it
// has to look like is in FilterYAML's comments.
func Filter(f Front) (*hcmv3.HttpFilter, *clusterv3.Cluster, error) {
	p, err := f.parseFilter()
	if err != nil {
		return nil, nil, err
	}
	filter, err := p.checkFilter()
	if err != nil {
		return nil, nil, fmt.Errorf("build filter: %w", err)
	}
	cluster, err := p.checkCluster()
	if err != nil {
		return nil, nil, fmt.Errorf("build cluster: %w", err)
	}
	return filter, cluster, nil
}

func (p parsed) listener() (*listenerv3.Listener, error) {
	manager, err := p.connectionManager()
	if err != nil {
		return nil, err
	}
	packed, err := anypb.New(manager)
	return &listenerv3.Listener{
		Name:                          listenerName,
		Address:                       bind(p.listen),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(bufferLimit),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed},
		}}}},
	}, err
}

func (p parsed) clusters() ([]*clusterv3.Cluster, error) {
	check, err := p.checkCluster()
	if err != nil {
		return nil, err
	}
	upstream, err := p.upstreamCluster()
	if err != nil {
		return nil, err
	}
	if p.TokenEndpoint == "" {
		return []*clusterv3.Cluster{check, upstream}, nil
	}
	tokens, err := p.tokenCluster()
	return []*clusterv3.Cluster{check, tokens, upstream}, err
}

// connectionLimit keeps strangers from using up Envoy's file descriptors.
func connectionLimit() (*overloadv3.OverloadManager, error) {
	packed, err := anypb.New(&connectionsv3.DownstreamConnectionsConfig{MaxActiveDownstreamConnections: maxConnections})
	return &overloadv3.OverloadManager{ResourceMonitors: []*overloadv3.ResourceMonitor{{
		Name:       "envoy.resource_monitors.global_downstream_max_connections",
		ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: packed},
	}}}, err
}

func bind(addr netip.AddrPort) *corev3.Address {
	a := socketAddress(addr.Addr().String(), uint32(addr.Port()))
	// :: means every address, as it does for a Go program.
	a.GetSocketAddress().Ipv4Compat = addr.Addr() == netip.IPv6Unspecified()
	return a
}

func seconds(d time.Duration) string {
	return strconv.Itoa(int(d / time.Second))
}
