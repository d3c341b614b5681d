package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tollgate-authz/tollgate/authz/route"
	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// form is what a text must look like.
type form struct {
	label   string   // in the reference's column of types
	want    string   // what would be right; does not depend on the value
	pattern string   // for the schema, and where read is nil: the rule
	values  []string // all that are allowed, when they can be listed
	size    bool     // a number of bytes
	secret  bool     // what is wrong with it is said without quoting it
	empty   bool     // the empty text is a value

	// read returns the text as it is kept. Its error says what is wrong and what
	// would be right; callers see it only if no variable was filled in.
	read func(f *form, text, dir string) (string, error)
}

// forms are what the tag form can name.
var forms = map[string]*form{
	"name": {
		label: "name", pattern: `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`,
		want: "a name is needed: up to 64 letters, digits and . _ -, a letter or digit first",
	},
	"plan": {
		label: "name of a plan", pattern: `^[A-Za-z0-9_-]{1,64}$`,
		want: "the name of a plan is needed: up to 64 letters, digits, _ and -",
	},
	"account": {
		label: "account", pattern: `^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$`,
		want: "an account is needed: up to 128 letters, digits and . _ : / @ -, a letter or digit first",
	},
	"issuer": {
		label: "issuer", pattern: `^\S+$`,
		want: "the issuer is needed as it stands in the iss of its tokens, without spaces",
	},
	"header": {
		label: "header", pattern: `^[A-Za-z0-9-]{1,64}$`, read: readHeader,
		want: "the name of a header is needed, like x-api-key",
	},
	"parameter": {
		label: "query parameter", pattern: `^[A-Za-z0-9._~-]{1,64}$`,
		want: "the name of a query parameter is needed, like api_key: up to 64 letters, digits and . _ ~ -",
	},
	"price": {
		label: "amount", pattern: `^(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?$`, read: readPrice,
		want: `an amount is needed, like "0.02": more than zero, with at most nine digits before the point and six after it`,
	},
	"currency": {
		label: "currency", pattern: `^[A-Z]{3}$`,
		want: "the three capitals of a currency are needed, like EUR",
	},
	"scope": {
		label: "scope", pattern: `^[!#-\[\]-~]{1,256}$`, read: readScope,
		want: "a scope is needed: visible ASCII without space, quote and backslash, like contacts:read",
	},
	"secret": {
		label: "text of 32 characters or more", secret: true, pattern: `^.{32,}$`, read: readSecret,
		want: "at least 32 characters are needed, such as what `openssl rand -base64 32` prints",
	},
	"host": {
		label: "host", read: readHost,
		want: "a host is needed, like api.example.com, *.example.com or *",
	},
	"pattern": {
		label: "pattern", read: readPattern,
		want: "a method and a path are needed, like GET /v1/contacts/{id}",
	},
	"type": {
		label: "type", empty: true, pattern: "^[!-~]*$", read: readType,
		want: "a type is needed, like at+jwt",
	},
	"algorithm": {
		label: "algorithm", values: tokens.Algorithms(), read: readAlgorithm,
		want: oneOf(tokens.Algorithms()),
	},
	"zone": {
		label: "time zone", read: readZone,
		want: "a time zone is needed, like UTC or Europe/Berlin",
	},
	"size": {
		label: "size", size: true, pattern: `^[0-9]+(KiB|MiB|GiB)$`,
	},
	"origin": {
		label: "origin", read: readOrigin,
		want: "an origin is needed, like https://app.example.com (http only for this machine), or *",
	},
	"own issuer": {
		label: "URL", pattern: "^https?://", read: readIssuer,
		want: "a URL is needed, like https://idp.example.com, without query, fragment, user and final slash",
	},
	"key address": {
		label: "URL", pattern: "^https?://", read: readKeyAddress,
		want: "a URL is needed, like https://idp.example.com/jwks.json (http only on this machine), or a jwks_file",
	},
	"introspection endpoint": {
		label: "URL", pattern: "^https?://", read: readKeyAddress,
		want: "a URL is needed, like https://idp.example.com/introspect (http only on this machine)",
	},
	"credential": {
		label: "text", secret: true, pattern: "^[ -~]+$", // RFC 6749 appendix A.2
		want: "the secret that the issuer gave to this client is needed, in visible ASCII",
	},
	"file": {
		label: "file", read: readFile,
		want: "the name of a file is needed",
	},
	"store": {
		label: "store", secret: true, pattern: "^sqlite:.", read: readStore,
		want: `sqlite:FILE or "sqlite::memory:" (with quotes) is needed`,
	},
	"address": {
		label: "host:port", read: readAddress,
		want: "an address is needed, like 127.0.0.1:8180 or [::1]:8180, with a port up to 65535",
	},
	"address or socket": {
		label: "host:port or unix:PATH", read: readSocket,
		want: "an address is needed, like 127.0.0.1:9191 with a port up to 65535, or unix:/run/tollgate.sock",
	},
}

// check reads a text by its form.
func (f *form) check(text, dir string) (string, error) {
	if f.read != nil {
		return f.read(f, text, dir)
	}
	if f.pattern != "" && !regexp.MustCompile(f.pattern).MatchString(text) {
		return "", f.bad(text)
	}
	return text, nil
}

// bad is the plain answer: the text, and what would be right.
func (f *form) bad(text string) error {
	if f.secret {
		return errors.New("not usable; " + f.want)
	}
	return fmt.Errorf("%s does not fit; %s", show(text), f.want)
}

func readScope(f *form, text, _ string) (string, error) {
	if !tokens.ValidScope(text) {
		return "", f.bad(text)
	}
	return text, nil
}

func readSecret(f *form, text, _ string) (string, error) {
	if n := len([]rune(text)); n < 32 {
		return "", fmt.Errorf("%d characters are too few; %s", n, f.want)
	}
	return text, nil
}

// readHeader refuses the headers that have another meaning already.
func readHeader(f *form, text, _ string) (string, error) {
	name := strings.ToLower(text)
	switch {
	case !regexp.MustCompile(f.pattern).MatchString(text):
		return "", f.bad(text)
	case slices.Contains([]string{"authorization", "cookie", "host", "x-forwarded-for", "x-request-id", "content-type", "content-length"}, name),
		strings.HasPrefix(name, "x-tollgate-"), strings.HasPrefix(name, "x-envoy-"):
		return "", fmt.Errorf("%s has another meaning; name a header of its own, like x-api-key", show(text))
	}
	return name, nil
}

func readHost(_ *form, text, _ string) (string, error) { return route.CanonicalHost(text) }

func readPattern(_ *form, text, _ string) (string, error) { return text, route.ValidPattern(text) }

// readType folds the type as it is compared: without case, and without the
// prefix that RFC 7515 section 4.1.9 lets be left out.
func readType(f *form, text, _ string) (string, error) {
	if !regexp.MustCompile(f.pattern).MatchString(text) {
		return "", f.bad(text)
	}
	return strings.TrimPrefix(strings.ToLower(text), "application/"), nil
}

func readAlgorithm(f *form, text, _ string) (string, error) {
	switch upper := strings.ToUpper(text); {
	case slices.Contains(f.values, text):
		return text, nil
	case strings.HasPrefix(upper, "HS"):
		return "", fmt.Errorf("%s is refused: who can verify such a token can make one, and a public key could be taken for its secret (RFC 8725 section 2.1); %s", show(text), f.want)
	case upper == "NONE":
		return "", fmt.Errorf("%s is no signature: anybody could make such a token; %s", show(text), f.want)
	}
	return "", f.bad(text)
}

// readPrice refuses zero: what would be charged, counted and listed for nothing is
// most likely not what was meant.
func readPrice(f *form, text, _ string) (string, error) {
	amount, err := quota.ParseMicros(text)
	switch {
	case err != nil, !regexp.MustCompile(f.pattern).MatchString(text):
		return "", f.bad(text)
	case amount == 0:
		return "", fmt.Errorf("%s is no price; leave the key out for a route that costs nothing, or write an amount above zero", show(text))
	}
	return text, nil
}

func readZone(f *form, text, _ string) (string, error) {
	if text == "Local" {
		return "", errors.New(`"Local" differs from machine to machine; ` + f.want)
	}
	if _, err := time.LoadLocation(text); err != nil {
		return "", fmt.Errorf("%s is not a time zone that this machine knows; %s", show(text), f.want)
	}
	return text, nil
}
