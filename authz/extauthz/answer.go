package extauthz

import (
	"fmt"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/tollgate-authz/tollgate/authz"
)

// Answer shows the headers that Envoy would get, for explain: to the caller on a
// refusal, to the upstream otherwise; an empty value stands for a header that is
// removed, or, with a name like ?api_key, for a query parameter. It reads back what the writer has written, so that it cannot say
// anything else.
func Answer(req *authz.Request, d *authz.Decision) (map[string]string, error) {
	var resp authv3.CheckResponse
	if err := proto.Unmarshal(appendResponse(nil, req, d), &resp); err != nil {
		return nil, fmt.Errorf("read the answer back: %w", err)
	}
	shown := map[string]string{}
	headers := resp.GetDeniedResponse().GetHeaders()
	if ok := resp.GetOkResponse(); ok != nil {
		headers = ok.GetHeaders()
		for _, name := range ok.GetHeadersToRemove() {
			shown[name] = ""
		}
		for _, name := range ok.GetQueryParametersToRemove() {
			shown["?"+name] = ""
		}
	}
	for _, h := range headers {
		shown[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
	}
	return shown, nil
}

// SetHeader gives a request a header as Envoy would: names in lower case, those
// that the gate does not read are dropped, a second Authorization counts.
// keyHeaders are the names of headers with API keys.
func SetHeader(req *authz.Request, name, value string, keyHeaders []string) {
	h := headers{
		authorization: req.Authorization, authorizations: req.Authorizations, forwardedFor: req.ForwardedFor, requestID: req.RequestID,
		names: keyHeaders, apiKeys: req.APIKeys,
	}
	h.take(name, value, false)
	req.APIKeys = h.apiKeys
	req.Authorization, req.Authorizations, req.ForwardedFor, req.RequestID = h.authorization, h.authorizations, h.forwardedFor, h.requestID
	if name == "content-type" {
		req.GRPC = isGRPC(value)
	}
}
