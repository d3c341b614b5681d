package envoy

import (
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	checkCluster    = "tollgate_check"
	tokenCluster    = "tollgate_tokens"
	upstreamCluster = "upstream"

	httpOptionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
)

// breakerSize is how many requests may wait for an answer at once; those beyond
// it are refused at once. Of Envoy's default, 1024, nothing is left when 20,000
// requests a second meet a pause of 50 ms.
const breakerSize = 16384

// bufferLimit is what one connection may hold in memory in each direction.
const bufferLimit = 32 << 10

func (p parsed) checkCluster() (*clusterv3.Cluster, error) {
	c := newCluster(checkCluster, p.check)
	c.ConnectTimeout = durationpb.New(time.Second)
	c.HealthChecks = []*corev3.HealthCheck{{
		Timeout:            durationpb.New(500 * time.Millisecond),
		Interval:           durationpb.New(time.Second),
		NoTrafficInterval:  durationpb.New(time.Second),
		UnhealthyThreshold: wrapperspb.UInt32(2),
		HealthyThreshold:   wrapperspb.UInt32(1),
		HealthChecker:      &corev3.HealthCheck_GrpcHealthCheck_{GrpcHealthCheck: &corev3.HealthCheck_GrpcHealthCheck{}},
	}}
	// A replica that drains is left alone. When all of them are unhealthy they
	// are asked nevertheless: the answer cannot be worse than none, and the
	// first one that is back serves before a health check has noticed it.
	c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: 1}}

	http2 := http2Options()
	// A connection to a host that vanished without a FIN is closed after 7 s
	// and not after the kernel's 15 minutes. Envoy pings without streams too:
	// the server has to allow both, or it ends the connection (grpc-go's
	// keepalive.EnforcementPolicy).
	http2.ConnectionKeepalive = &corev3.KeepaliveSettings{
		Interval: durationpb.New(5 * time.Second),
		Timeout:  durationpb.New(2 * time.Second),
	}
	if err := setHTTP2(c, http2); err != nil {
		return nil, err
	}
	return c, setTLS(c, p.CheckTLS, p.check, "h2")
}

func (p parsed) upstreamCluster() (*clusterv3.Cluster, error) {
	c := newCluster(upstreamCluster, p.upstream)
	if p.UpstreamHTTP2 {
		if err := setHTTP2(c, http2Options()); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (p parsed) tokenCluster() (*clusterv3.Cluster, error) {
	c := newCluster(tokenCluster, p.token)
	return c, setTLS(c, p.TokenEndpointTLS, p.token, "http/1.1")
}

func newCluster(name string, to target) *clusterv3.Cluster {
	c := &clusterv3.Cluster{
		Name:                          name,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:                durationpb.New(5 * time.Second),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(bufferLimit),
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections:     wrapperspb.UInt32(breakerSize),
			MaxPendingRequests: wrapperspb.UInt32(breakerSize),
			MaxRequests:        wrapperspb.UInt32(breakerSize),
			TrackRemaining:     true,
		}}},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: to.address()}},
			}}}},
		},
	}
	if to.isDNS() {
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
		// Envoy's default takes ::1 for localhost and never tries 127.0.0.1.
		c.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
	}
	return c
}

func (t target) address() *corev3.Address {
	if t.pipe != "" {
		return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: t.pipe}}}
	}
	return socketAddress(t.host, t.port)
}

func socketAddress(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

// http2Options bounds what one connection may buffer: 64 KiB a stream, 1 MiB in
// all.
func http2Options() *corev3.Http2ProtocolOptions {
	return &corev3.Http2ProtocolOptions{
		InitialStreamWindowSize:     wrapperspb.UInt32(64 << 10),
		InitialConnectionWindowSize: wrapperspb.UInt32(1 << 20),
	}
}

func setHTTP2(c *clusterv3.Cluster, options *corev3.Http2ProtocolOptions) error {
	packed, err := anypb.New(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: options},
			},
		},
	})
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptionsName: packed}
	return err
}

func setTLS(c *clusterv3.Cluster, t *TLS, to target, alpn string) error {
	if t == nil {
		return nil
	}
	name := t.Name
	if name == "" {
		name = to.host
	}
	sanType, sni := tlsv3.SubjectAltNameMatcher_DNS, name
	if _, err := netip.ParseAddr(name); err == nil {
		sanType, sni = tlsv3.SubjectAltNameMatcher_IP_ADDRESS, "" // RFC 6066 §3: no addresses in SNI
	}
	common := &tlsv3.CommonTlsContext{
		TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2},
		AlpnProtocols: []string{alpn},
		ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: file(t.CA),
			MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{
				SanType: sanType,
				Matcher: exactly(name),
			}},
		}},
	}
	if t.Cert != "" {
		common.TlsCertificates = []*tlsv3.TlsCertificate{{CertificateChain: file(t.Cert), PrivateKey: file(t.Key)}}
	}
	packed, err := anypb.New(&tlsv3.UpstreamTlsContext{CommonTlsContext: common, Sni: sni})
	c.TransportSocket = &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed},
	}
	return err
}

func file(name string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: name}}
}
