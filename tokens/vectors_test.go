package tokens

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tollgate-authz/tollgate/tokens/strictjson"
)

// vectors returns the folder of the third-party vectors, or skips.
func vectors(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("TOLLGATE_VECTORS")
	if dir == "" {
		t.Skip("TOLLGATE_VECTORS is not set: the third-party vectors are not here")
	}
	return dir
}

func readVectors(t *testing.T, into any, path ...string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{vectors(t)}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// wycheproof is one file of the suite, as far as we use it.
type wycheproof struct {
	TestGroups []struct {
		Comment         string
		Private, Public json.RawMessage
		Tests           []struct {
			TcID    int
			Comment string
			JWS     json.RawMessage
			Result  string
		}
	}
}

type override struct{ Expect, Why string }

// verifyWith is what a verifier that knows this one key set says of a JWS.
func verifyWith(keys []*Key, jws string) error {
	c, err := parseCompact(jws)
	if err != nil {
		return err
	}
	trust := &Trust{Algorithms: Algorithms(), Types: []string{strings.ToLower(c.typ)}, Keys: FixedKeys(keys)}
	_, err = trust.checkSignature(context.Background(), c)
	return err
}

// keySet makes a set of a JWK or a JWK Set as the vectors give them.
func keySet(raw json.RawMessage) ([]*Key, error) {
	v, err := strictjson.Parse(raw, 32)
	if err != nil {
		return nil, err
	}
	if v.Get("keys") == nil {
		raw = json.RawMessage(fmt.Sprintf(`{"keys":[%s]}`, raw))
	}
	return ParseKeySet(raw)
}

// TestB2_Wycheproof runs the JWS and JWK suites: what is invalid is refused;
// what is valid is accepted, but for the symmetric keys that are never accepted.
func TestB2_Wycheproof(t *testing.T) {
	t.Parallel()
	var exceptions map[string]json.RawMessage
	readVectors(t, &exceptions, "wycheproof", "exceptions.json")
	accepted, refused := 0, 0
	for _, name := range []string{"json_web_signature_test.json", "json_web_key_test.json", "json_web_crypto_test.json"} {
		overrides := map[string]override{}
		if err := json.Unmarshal(exceptions[name], &overrides); err != nil {
			t.Fatal(err)
		}
		var file wycheproof
		readVectors(t, &file, "wycheproof", name)
		for _, group := range file.TestGroups {
			public := group.Public
			if public == nil {
				public = group.Private
			}
			symmetric := strings.Contains(string(public), `"oct"`)
			keys, keyErr := keySet(public)
			for _, test := range group.Tests {
				expect := test.Result
				if o, ok := overrides[fmt.Sprint(test.TcID)]; ok {
					expect = o.Expect
				}
				if expect == "skip" || expect == "either" || test.JWS == nil { // no JWE is read here
					continue
				}
				var compact string
				err := keyErr
				if json.Unmarshal(test.JWS, &compact) != nil {
					compact = string(test.JWS) // the JSON serialization
				}
				if err == nil {
					err = verifyWith(keys, compact)
				}
				want := expect == "valid" && !symmetric
				if (err == nil) != want {
					t.Errorf("%s %d (%s, %s): %v, want %s", name, test.TcID, group.Comment, test.Comment, err, expect)
				}
				if err == nil {
					accepted++
				} else {
					refused++
				}
			}
		}
	}
	if accepted < 20 || refused < 300 {
		t.Errorf("%d accepted, %d refused: the suite did not run", accepted, refused)
	}
}

// TestB2_RFC7515_RFC7520_RFC8037 runs the examples printed in the RFCs. They
// mostly lack a kid, so the signature layer is asked directly.
func TestB2_RFC7515_RFC7520_RFC8037(t *testing.T) {
	t.Parallel()
	var rfc7515 struct {
		Tests []struct {
			ID, Alg, JWS, Result string
			Key                  map[string]any
		}
	}
	readVectors(t, &rfc7515, "rfc7515", "rfc7515.json")
	ran := 0
	for _, test := range rfc7515.Tests {
		if test.Key == nil {
			continue
		}
		err := verifyExample(test.Key, test.Alg, test.JWS)
		if want := test.Result == "valid" && !strings.HasPrefix(test.Alg, "HS"); (err == nil) != want {
			t.Errorf("%s: %v, want %s", test.ID, err, test.Result)
		}
		ran++
	}
	for _, path := range []string{"jws/4_1.rsa_v15_signature.json", "jws/4_2.rsa-pss_signature.json", "jws/4_3.ecdsa_signature.json", "curve25519/jws.json"} {
		var example struct {
			Input struct {
				Key map[string]any
				Alg string
			}
			Output struct{ Compact string }
		}
		readVectors(t, &example, "cookbook", path)
		if err := verifyExample(example.Input.Key, example.Input.Alg, example.Output.Compact); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		ran++
	}
	if ran < 7 {
		t.Errorf("%d examples ran, want at least 7", ran)
	}
}

func verifyExample(jwk map[string]any, alg, jws string) error {
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi"} {
		delete(jwk, private) // the examples print whole keys
	}
	jwk["kid"] = "k"
	raw, err := json.Marshal(jwk)
	if err != nil {
		return err
	}
	keys, err := keySet(raw)
	if err != nil {
		return err
	}
	parts := strings.Split(jws, ".")
	if len(parts) != 3 {
		return fmt.Errorf("%d parts", len(parts))
	}
	signature, err := decodePart("signature", parts[2])
	if err != nil {
		return err
	}
	if !slices.Contains(Algorithms(), alg) || !keys[0].fits(alg) {
		return fmt.Errorf("algorithm %s is not the key's", alg)
	}
	return keys[0].verify(alg, []byte(parts[0]+"."+parts[1]), signature)
}
