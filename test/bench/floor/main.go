// Command floor is what tollgate is measured against: the authorization server
// that anyone would write first, on grpc-go with its default options and on
// go-control-plane's types, and that decides nothing. It allows every request
// and adds one header.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

func main() {
	if err := run(); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "floor: error: %v\n", err)
		os.Exit(1)
	}
}

// run serves on a free port of loopback, and prints which, until it is told to
// stop.
func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, authorization{})
	context.AfterFunc(ctx, server.Stop)
	return server.Serve(l)
}

// authorization answers OK.
type authorization struct{}

// Check implements authv3.AuthorizationServer. The answer is made anew for every
// request, as a server that decides would have to.
func (authorization) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-floor", Value: "ok"}}},
		}},
	}, nil
}
