// Package config reads tollgate.yaml: it owns the file's language, its defaults
// and the words in which a fault is reported.
//
// It builds nothing. What the values are for is decided where they are used; the
// wiring in package main turns them into the other packages' types. Routes that
// contradict each other are found there, by the table that they make.
package config

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// Config is a whole configuration, validated and with its defaults in place.
//
// The tags are the language of the file; package reader, reference page and JSON
// Schema all go by them (see field):
//
//	yaml      the key
//	doc       one line for the reference page and the schema
//	default   the value when the key is left out; a list's items between spaces
//	computed  the same in words, where Parse works it out
//	enum      the words that are allowed
//	min, max  bounds of a number or a duration; above: a bound that is not included
//	form      what a text must look like, see forms
//	required  true: the key must be there, and a list must not be empty
//	status    unsupported: the key is refused; unenforced: read, but only warned about
type Config struct {
	Listen   Listen           `yaml:"listen" doc:"Addresses to serve on."`
	Issuer   string           `yaml:"issuer" form:"own issuer" doc:"iss of the tokens made here: the URL under which clients reach listen.http." computed:"http:// (https:// with http_tls) and listen.http"`
	Store    Store            `yaml:"store" form:"store" doc:"Where records are kept: sqlite:FILE, or \"sqlite::memory:\" (with quotes) for a throw-away one." default:"sqlite:data/tollgate.db"`
	Shared   string           `yaml:"shared" status:"unsupported" doc:"Redis or Valkey for limits and revocations of several replicas."`
	Enforce  bool             `yaml:"enforce" doc:"false: decide and report, and let everything pass." default:"true"`
	Tokens   Tokens           `yaml:"tokens" doc:"Tokens made here."`
	Keys     Keys             `yaml:"keys" doc:"Secrets that protect the store; made beside it when absent."`
	Trust    []Trust          `yaml:"trust" doc:"Other issuers whose tokens are accepted, beside the built-in one."`
	ClientIP ClientIP         `yaml:"client_ip" doc:"Whose word counts for the caller's address."`
	Plans    map[string]*Plan `yaml:"plans" form:"plan" doc:"Named sets of limits. An omitted limit is no limit. The plan default is for clients and issuers that name none; when it is not written, it is burst 50 a second with size 100, per_minute 1000, per_day 100000, auth_per_day 6, warn_at 0.8."`
	APIs     []API            `yaml:"apis" doc:"What is protected: hosts, routes and what they ask for."`
	Accounts Accounts         `yaml:"accounts" doc:"Defaults for accounts."`
	Feed     Feed             `yaml:"feed" doc:"The feed of changes between processes."`
	Limits   Limits           `yaml:"limits" doc:"Bounds of this process."`
	Stats    Stats            `yaml:"stats" doc:"How long statistics of requests are kept: the finer, the shorter."`

	// Warnings are about what is accepted but is not enforced yet, or is hardly
	// what was meant.
	Warnings []string `yaml:"-"`
	// Dir is the folder that relative paths are relative to.
	Dir string `yaml:"-"`
}

// Listen says where to serve.
type Listen struct {
	Check    string `yaml:"check" form:"address or socket" doc:"gRPC ext_authz, health and reflection." default:"127.0.0.1:9191"`
	HTTP     string `yaml:"http" form:"address" doc:"Token endpoint and JWKS." default:"127.0.0.1:8180"`
	Ops      string `yaml:"ops" form:"address" doc:"/metrics, /healthz and /readyz." default:"127.0.0.1:9192"`
	CheckTLS *TLS   `yaml:"check_tls" doc:"TLS of listen.check, when it is no socket."`
	HTTPTLS  *TLS   `yaml:"http_tls" doc:"TLS of listen.http."`
	Insecure bool   `yaml:"insecure" doc:"Allows plain HTTP on a public address of listen.http." default:"false"`
}

// TLS names certificate files. They are read again when they change.
type TLS struct {
	Cert     string `yaml:"cert" required:"true" form:"file" doc:"PEM file with the certificate chain, the listener's own first."`
	Key      string `yaml:"key" required:"true" form:"file" doc:"PEM file with the private key, without a passphrase."`
	ClientCA string `yaml:"client_ca" form:"file" doc:"PEM file with the authorities of client certificates; when set, every client has to show one."`
}

// Store is a parsed store address.
type Store struct {
	SQLite string // absolute path of the file; "" in memory
	Memory bool
}

// Tokens says how tokens are made.
type Tokens struct {
	Format               string        `yaml:"format" enum:"jwt opaque" doc:"Format of access tokens, of clients that have none of their own." default:"jwt"`
	SigningAlgorithm     string        `yaml:"signing_algorithm" enum:"ES256 EdDSA RS256" doc:"How they are signed." default:"ES256"`
	Audience             string        `yaml:"audience" doc:"aud of the tokens made here." computed:"issuer"`
	AccessTTL            time.Duration `yaml:"access_ttl" min:"1s" max:"8784h" doc:"Lifetime of an access token, in whole seconds." default:"1h"`
	RefreshTTL           time.Duration `yaml:"refresh_ttl" min:"1s" max:"87600h" doc:"A refresh token expires when it is not used for so long." default:"720h"`
	RefreshMaxTTL        time.Duration `yaml:"refresh_max_ttl" min:"1s" max:"87600h" doc:"However often it is used, the client must prove itself anew after so long." default:"8760h"`
	GenerationsPerMinute int64         `yaml:"generations_per_minute" min:"1" max:"2147483647" doc:"Successful token requests of one client a minute." default:"10"`
}

// Keys are the process's own secrets, as texts; empty: made beside the store.
type Keys struct {
	EncryptionKey string        `yaml:"encryption_key" form:"secret" doc:"Encrypts signing keys in the store." computed:"made beside the store"`
	Pepper        string        `yaml:"pepper" form:"secret" doc:"Hashes client secrets." computed:"made beside the store"`
	SigningKey    string        `yaml:"signing_key" form:"file" doc:"PEM file with the private key that signs, instead of one that is made in the store. To rotate, replace the file and reload."`
	RotateEvery   time.Duration `yaml:"rotate_every" min:"0s" max:"87600h" doc:"How long a signing key signs before the next one takes over; 0s: for ever." default:"2160h"`
}

// maxKeyFile bounds a file with a private key, in bytes.
const maxKeyFile = 64 << 10

// ReadSigningKey reads keys.signing_key.
func (c *Config) ReadSigningKey(now time.Time) (*tokens.SigningKey, error) {
	file, err := readBounded(c.Keys.SigningKey, maxKeyFile, true)
	if err == nil {
		var key *tokens.SigningKey
		if key, err = tokens.ParseSigningKey(c.Tokens.SigningAlgorithm, file, now); err == nil {
			return key, nil
		}
		err = fmt.Errorf("%s: %w", c.Keys.SigningKey, err)
	}
	return nil, fmt.Errorf("keys.signing_key: %w", err)
}

// Format keeps the secrets out of whatever prints a Config.
func (Keys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("<secret>")) }

// LogValue keeps the secrets out of structured logs.
func (Keys) LogValue() slog.Value { return slog.StringValue("<secret>") }

// MarshalText keeps the secrets out of JSON.
func (Keys) MarshalText() ([]byte, error) { return []byte("<secret>"), nil }

// Trust is another issuer.
type Trust struct {
	Issuer      string        `yaml:"issuer" required:"true" form:"issuer" doc:"Exact value of iss."`
	JWKSURI     string        `yaml:"jwks_uri" form:"key address" doc:"Where its keys are; without it, jwks_file and introspection: discovery."`
	JWKSFile    string        `yaml:"jwks_file" form:"file" doc:"A file with its keys instead."`
	Audiences   []string      `yaml:"audiences" required:"true" doc:"One of them must stand in aud."`
	Algorithms  []string      `yaml:"algorithms" form:"algorithm" doc:"Accepted signature algorithms." default:"RS256 ES256"`
	Typ         []string      `yaml:"typ" form:"type" doc:"Accepted types; an empty text accepts tokens without typ." default:"at+jwt"`
	Leeway      time.Duration `yaml:"leeway" min:"0s" max:"1h" doc:"How far its clock may differ, for exp, nbf and iat." default:"30s"`
	ScopeClaim  string        `yaml:"scope_claim" doc:"Claim with the scopes: a space-separated string or an array." default:"scope"`
	ClientClaim string        `yaml:"client_claim" doc:"Claim with the client." default:"azp"`
	Account     string        `yaml:"account" form:"account" doc:"Whose limits and time zone count." computed:"an account named after the issuer"`
	Plan        string        `yaml:"plan" form:"plan" doc:"Plan of its tokens." default:"default"`
	Environment string        `yaml:"environment" enum:"production sandbox" doc:"Which hosts its tokens are for." default:"production"`

	Introspection *Introspection `yaml:"introspection" doc:"Asks it about its opaque tokens (RFC 7662); without jwks_uri and jwks_file about its JWTs as well. Its answers must have aud. An opaque token does not say whose it is: of several such issuers, at most 4, each is asked in the order of the file until one knows it, and sees the tokens of those after it."`

	Source string `yaml:"-"` // file:line:column
}

// Introspection is how an issuer is asked about its tokens.
type Introspection struct {
	Endpoint     string        `yaml:"endpoint" required:"true" form:"introspection endpoint" doc:"Where it is asked."`
	ClientID     string        `yaml:"client_id" required:"true" doc:"Who asks: a client registered there."`
	ClientSecret tokens.Secret `yaml:"client_secret" required:"true" form:"credential" doc:"Secret of that client, sent as HTTP Basic."`
	Timeout      time.Duration `yaml:"timeout" min:"10ms" max:"180ms" doc:"How long a request waits for the answer, within the 200ms that Envoy gives; then 503 R0." default:"140ms"`
	Cache        time.Duration `yaml:"cache" min:"1s" max:"5m" doc:"How long an answer that a token is active holds, and so the longest that a revocation there goes unnoticed here. That it is not active holds for 5s." default:"30s"`
}

// Format keeps the secret out of whatever prints a Config: fmt does not ask a
// field's own type below a pointer that its verb does not suit.
func (Introspection) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("<secret>")) }

// HasKeys reports whether JWTs of the issuer are verified with its keys, wherever
// these come from. Without, it is asked about them.
func (t *Trust) HasKeys() bool {
	return t.Introspection == nil || t.JWKSURI != "" || t.JWKSFile != ""
}

// ReadKeys reads JWKSFile.
func (t *Trust) ReadKeys() (tokens.FixedKeys, error) {
	keys, err := readKeys(t.JWKSFile)
	if err != nil {
		return nil, fmt.Errorf("%s: jwks_file: %w", t.Source, err)
	}
	return keys, nil
}

func readKeys(file string) (tokens.FixedKeys, error) {
	doc, err := readBounded(file, tokens.MaxKeySetBytes, true)
	if err != nil {
		return nil, err
	}
	keys, err := tokens.ParseKeySet(doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return keys, nil
}

// ClientIP says how many proxies are believed.
type ClientIP struct {
	TrustedHops     int `yaml:"trusted_hops" min:"0" max:"16" doc:"Proxies in front of Envoy." default:"0"`
	HTTPTrustedHops int `yaml:"http_trusted_hops" min:"0" max:"16" doc:"Proxies in front of listen.http." default:"0"`
}

// Plan is a named set of limits. A limit of zero is no limit.
type Plan struct {
	Burst         *Burst        `yaml:"burst" doc:"Token bucket of each token or API key; exceeded: R7."`
	PerMinute     int64         `yaml:"per_minute" min:"1" max:"2147483647" doc:"Requests of each token or API key in a sliding minute; exceeded: R3."`
	PerDay        int64         `yaml:"per_day" min:"1" max:"1000000000000" doc:"Requests of the client over all its tokens, or of the API key, in a calendar day of the account's time zone; never exceeded. Used up: R3."`
	AuthPerDay    int64         `yaml:"auth_per_day" min:"1" max:"1000000000000" doc:"Token requests of the client a day beside per_day: a successful one spends one of these, and one of per_day when they are used up."`
	Lockout       time.Duration `yaml:"lockout" min:"0s" max:"8784h" doc:"After per_minute was exceeded, everything of that token or API key is refused for this long, in whole seconds (R3); what is refused meanwhile does not make it longer. 0s: no lockout." default:"0s"`
	WarnAt        float64       `yaml:"warn_at" above:"0" max:"1" doc:"Share of each limit from which on callers are warned in x-tollgate-warning. Left out: no warnings."`
	TotalRequests int64         `yaml:"total_requests" min:"1" max:"1000000000000" doc:"Requests of the client over all its tokens, or of the API key, in all: they are never gained anew. Used up: R3."`
	PaidRequests  int64         `yaml:"paid_requests" min:"1" max:"1000000000000" doc:"Requests of routes with a price, in production, of the client over all its tokens, or of the API key, in all: they are never gained anew. Used up: R3."`
	Shadow        bool          `yaml:"shadow" doc:"true: count, report what the plan would refuse, and refuse nothing." default:"false"`
	OnUnavailable string        `yaml:"on_unavailable" enum:"deny allow" doc:"What becomes of requests while per_day cannot be counted because the store is away. deny: they are refused. allow: they pass and are counted afterwards, which gives the promise up that per_day is never exceeded." default:"deny"`
}

// Burst is a token bucket.
type Burst struct {
	Rate float64 `yaml:"rate" required:"true" above:"0" max:"1000000" doc:"Requests a second that the bucket gains."`
	Size int64   `yaml:"size" required:"true" min:"1" doc:"Requests that a full bucket holds."`
}

// API is a group of routes under some hosts.
type API struct {
	Name         string   `yaml:"name" required:"true" form:"name" doc:"Unique name."`
	Hosts        []string `yaml:"hosts" form:"host" doc:"Hosts of production: exact, *.suffix, or *."`
	SandboxHosts []string `yaml:"sandbox_hosts" form:"host" doc:"Hosts that are the sandbox of this API."`
	Audience     string   `yaml:"audience" doc:"Accepted in aud beside tokens.audience."`
	Auth         string   `yaml:"auth" enum:"oauth2 api_key any none" doc:"Which credentials are accepted. none: only the path is checked." default:"oauth2"`
	APIKey       *APIKey  `yaml:"api_key" doc:"Where an API key is sent." computed:"the header x-api-key"`
	ForwardToken bool     `yaml:"forward_token" doc:"false: the upstream does not see the credential." default:"true"`
	AllowInPath  []string `yaml:"allow_in_path" enum:"; %2f" doc:"What may stand in a path although it is refused by default."`
	CORS         *CORS    `yaml:"cors" doc:"For the generated Envoy front."`
	Routes       []Route  `yaml:"routes" doc:"What is served under the hosts."`
	Source       string   `yaml:"-"` // file:line:column
}

// APIKey says where an API key is sent.
type APIKey struct {
	Header string `yaml:"header" form:"header" doc:"Header with the key."`
	Query  string `yaml:"query" form:"parameter" doc:"Query parameter with the key; it is removed from what the upstream sees, as is the header."`
}

// TakesAPIKeys reports whether API keys open the API.
func (a *API) TakesAPIKeys() bool { return a.Auth == "api_key" || a.Auth == "any" }

// CORS says which pages may call.
type CORS struct {
	AllowOrigins []string `yaml:"allow_origins" required:"true" form:"origin" doc:"Origins of the pages."`
}

// Route is one route.
type Route struct {
	Match    string   `yaml:"match" required:"true" form:"pattern" doc:"Method and path in the pattern language of net/http.ServeMux."`
	Name     string   `yaml:"name" form:"name" doc:"Optional, unique."`
	Scopes   []string `yaml:"scopes" form:"scope" doc:"Scopes that are all needed. Without scopes and any_scope any valid token will do."`
	AnyScope []string `yaml:"any_scope" form:"scope" doc:"Scopes of which one is needed; with scopes: both rules."`

	// Price is zero where a request costs nothing.
	Price quota.Micros `yaml:"price" form:"price" doc:"What a request costs the account's wallet, in accounts.currency. Left out: nothing, as in the sandbox."`

	Plan   string `yaml:"plan" form:"plan" doc:"Charged in addition to the client's plan, counted apart."`
	Source string `yaml:"-"` // file:line:column
}

// Accounts are defaults for accounts.
type Accounts struct {
	DefaultZone string `yaml:"default_zone" form:"zone" doc:"Time zone of their calendar day." default:"UTC"`
	Currency    string `yaml:"currency" form:"currency" doc:"ISO 4217 code of their wallet." default:"EUR"`
}

// Feed is about the change feed.
type Feed struct {
	MaxStaleness time.Duration `yaml:"max_staleness" min:"0s" status:"unenforced" doc:"Refuse when the feed is older; 0s: decide on what is known, for ever." default:"0s"`
}

// Limits bound this process.
type Limits struct {
	MaxMemory int64 `yaml:"max_memory" form:"size" min:"16MiB" doc:"Verified-token cache and limiter tables together." default:"256MiB"`
}

// Stats says how long rows of statistics are kept.
type Stats struct {
	KeepMinutes time.Duration `yaml:"keep_minutes" min:"2h" max:"8784h" doc:"What was counted by minute." default:"48h"`
	KeepHours   time.Duration `yaml:"keep_hours" min:"48h" max:"87600h" doc:"What was counted by hour; at least keep_minutes." default:"840h"`
	KeepDays    time.Duration `yaml:"keep_days" min:"48h" max:"87600h" doc:"What was counted by day (UTC); at least keep_hours." default:"9600h"`
}
