package config

import (
	"net"
	"reflect"
	"strings"
)

// missing gives a key that the file leaves out its default, or reports that
// there is none.
func (r *reader) missing(v reflect.Value, f *field, path string) {
	switch {
	case f.required:
		want := f.want()
		if v.Kind() == reflect.Slice {
			want = "write a list with at least one item (" + f.item().want() + ")"
		}
		r.spoil(path, "the key is missing; %s", want)
	case f.def != "" && v.Kind() == reflect.Slice:
		words := strings.Fields(f.def)
		v.Set(reflect.MakeSlice(v.Type(), len(words), len(words)))
		for i, word := range words {
			f.item().preset(v.Index(i), word, r.dir)
		}
	case f.def != "":
		f.preset(v, f.def, r.dir)
	case v.Kind() == reflect.Struct && v.Type() != storeType:
		for _, inner := range fieldsOf(v.Type()) {
			r.missing(v.Field(inner.index), &inner, join(path, inner.name))
		}
	}
}

// preset sets a default. That one does not fit is a mistake in its tag.
func (f *field) preset(v reflect.Value, text, dir string) {
	if err := f.set(v, scalar{text, expanded}, dir); err != nil {
		panic("config: default of " + f.name + ": " + err.Error())
	}
}

// compute works out the defaults that depend on other keys.
func (r *reader) compute(c *Config) {
	if c.Issuer == "" {
		c.Issuer = r.ownIssuer(c)
	}
	if c.Tokens.Audience == "" {
		c.Tokens.Audience = c.Issuer
	}
	for i := range c.Trust {
		if c.Trust[i].Account == "" {
			c.Trust[i].Account = c.Trust[i].Issuer
		}
	}
	for i := range c.APIs {
		if a := &c.APIs[i]; a.TakesAPIKeys() && a.APIKey == nil {
			a.APIKey = &APIKey{Header: "x-api-key"}
		}
	}
	if c.Plans["default"] == nil && !r.places["plans"].broken {
		if c.Plans == nil {
			c.Plans = map[string]*Plan{}
		}
		c.Plans["default"] = defaultPlan()
	}
}

// ownIssuer is the URL under which listen.http is reached from this machine.
func (r *reader) ownIssuer(c *Config) string {
	host, port, ok := splitAddress(c.Listen.HTTP)
	if !ok {
		return ""
	}
	scheme := "http://"
	if c.Listen.HTTPTLS != nil {
		scheme = "https://"
	}
	if isEvery(host) {
		host = "127.0.0.1"
		c.warn("issuer is missing and listen.http takes every address: the tokens made here name " + scheme + "127.0.0.1 as their issuer; write the URL under which clients reach it")
	}
	return scheme + net.JoinHostPort(host, port)
}

// defaultPlan is for clients and issuers that name no plan, when the file does
// not say what it is.
func defaultPlan() *Plan {
	return &Plan{
		Burst: &Burst{Rate: 50, Size: 100}, PerMinute: 1000,
		PerDay: 100_000, AuthPerDay: 6, WarnAt: 0.8, OnUnavailable: "deny",
	}
}

func (c *Config) warn(text string) {
	c.Warnings = append(c.Warnings, text)
}
