package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// sampleEvery is how often an answer is decoded and compared in full. All the
// others are only looked at, which costs the loader next to nothing.
const sampleEvery = 1024

// Field numbers of the messages in an answer.
const (
	responseStatus, responseOK = 1, 3
	optionHeader               = 1
	headerKey, headerValue     = 1, 2
)

// allowed is how an answer begins that allows: a google.rpc.Status of code 0,
// then an OkHttpResponse.
var allowed = protowire.AppendTag(
	protowire.AppendBytes(protowire.AppendTag(nil, responseStatus, protowire.BytesType), nil),
	responseOK, protowire.BytesType)

// judgeFloor expects the one answer that the floor has.
func judgeFloor() func(int, []byte) error {
	var first []byte
	return func(_ int, answer []byte) error {
		if bytes.Equal(answer, first) && first != nil {
			return nil
		}
		if _, err := allowedHeaders(answer); err != nil {
			return err
		}
		if first != nil {
			return fmt.Errorf("the floor answered %x, and before %x", answer, first)
		}
		first = slices.Clone(answer)
		return nil
	}
}

// judgeTollgate expects an allow that names the client, and on the samples
// everything that the contract promises with an allow.
func judgeTollgate(c *calls, client string) func(int, []byte) error {
	named := headerBytes("x-tollgate-client", client)
	return func(call int, answer []byte) error {
		if !bytes.HasPrefix(answer, allowed) || !bytes.Contains(answer, named) {
			return wrongAnswer(answer, client)
		}
		if call%sampleEvery != 0 {
			return nil
		}
		return judgeSample(answer, client, c.token(call))
	}
}

func judgeSample(answer []byte, client, token string) error {
	headers, err := allowedHeaders(answer)
	if err != nil {
		return err
	}
	id, err := tokenID(token)
	if err != nil {
		return err
	}
	for name, want := range map[string]string{
		"x-tollgate-client": client, "x-tollgate-token-id": id, "x-tollgate-scopes": callScope,
		"x-tollgate-environment": "production",
	} {
		if headers[name] != want {
			return fmt.Errorf("the answer has %s: %q, want %q", name, headers[name], want)
		}
	}
	for _, name := range []string{"ratelimit-policy", "ratelimit"} {
		if v := headers[name]; !strings.Contains(v, `"burst"`) || !strings.Contains(v, `"per_minute"`) {
			return fmt.Errorf("the answer has %s: %q, want both limits in it", name, v)
		}
	}
	return nil
}

// headerBytes is a header as it stands in an answer.
func headerBytes(name, value string) []byte {
	header := protowire.AppendString(protowire.AppendTag(nil, headerKey, protowire.BytesType), name)
	header = protowire.AppendString(protowire.AppendTag(header, headerValue, protowire.BytesType), value)
	return protowire.AppendBytes(protowire.AppendTag(nil, optionHeader, protowire.BytesType), header)
}

// allowedHeaders decodes an answer that allows, and returns the headers it sets
// on the request and on the response.
func allowedHeaders(answer []byte) (map[string]string, error) {
	resp := &authv3.CheckResponse{}
	if err := proto.Unmarshal(answer, resp); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	ok := resp.GetOkResponse()
	if ok == nil || resp.GetStatus().GetCode() != 0 {
		return nil, fmt.Errorf("not allowed: %v", resp)
	}
	headers := map[string]string{}
	for _, h := range slices.Concat(ok.GetHeaders(), ok.GetResponseHeadersToAdd()) {
		headers[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
	}
	return headers, nil
}

// wrongAnswer says what is wrong with an answer that failed at a glance.
func wrongAnswer(answer []byte, client string) error {
	headers, err := allowedHeaders(answer)
	if err != nil {
		return err
	}
	return fmt.Errorf("allowed as client %q, want %q", headers["x-tollgate-client"], client)
}

// tokenID reads the jti of a JWT that we know to be a good one.
func tokenID(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", fmt.Errorf("read a token: %w", err)
	}
	var claims struct{ Jti string }
	if err := json.Unmarshal(payload, &claims); err != nil {
		return "", fmt.Errorf("read a token: %w", err)
	}
	return claims.Jti, nil
}
