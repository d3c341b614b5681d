package manage

import (
	"reflect"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/authz/decisions"
)

// ours makes the library speak our words. What it offers for that are variables.
var ours = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true // "NAME" is not "name"
	huma.NewError = humaProblem
	huma.NewErrorWithContext = func(ctx huma.Context, status int, detail string, errs ...error) huma.StatusError {
		p := humaProblem(status, detail, errs...)
		if c, ok := ctx.Context().Value(callKey{}).(*call); ok {
			c.ev.note(p)
		}
		return p
	}
})

const securityName = "oauth2"

// description is what the OpenAPI file says beside the operations.
func (a *api) description() huma.Config {
	ours()
	c := huma.DefaultConfig("tollgate management API", a.Version)
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", "" // the file is served by ourselves
	c.CreateHooks, c.Transformers = nil, nil              // no $schema in answers
	c.RejectUnknownQueryParameters = true
	c.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	c.Info.Description = `Tokens, clients, API keys, accounts and users of a tollgate, and what its traffic was.

Every operation takes a bearer token of tollgate's own token endpoint, with the scope that the operation names or a role that has it. Lists are read with limit and cursor and have a stable order. A changed record is protected by ETag and If-Match. Errors are problem details (RFC 9457). Times are RFC 3339, money is decimal text.`
	scopes := map[string]string{}
	for _, p := range permissions {
		scopes[string(p.name)] = p.says
	}
	for _, r := range roles {
		if r.says != "" {
			scopes[string(r.scope)] = r.says
		}
	}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{securityName: {
		Type: "oauth2", Description: "A token of the token endpoint.",
		Flows: &huma.OAuthFlows{ClientCredentials: &huma.OAuthFlow{TokenURL: a.Settings().Issuer + "/oauth2/token", Scopes: scopes}},
	}}
	c.Servers = []*huma.Server{{URL: a.Settings().Issuer}}
	return c
}

// describeOperations adds what the types cannot say: the headers of refusals, and that
// no parameter may be empty.
func (a *api) describeOperations(file *huma.OpenAPI) {
	decided := file.Paths["/decisions"].Get.Responses["200"]
	decided.Content = map[string]*huma.MediaType{
		"application/json":  {Schema: file.Components.Schemas.Schema(reflect.TypeFor[pageOf[decisions.Record]](), true, "")},
		"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString, Description: "Events decision, each with a record as data and its seq as id, and missed, with the number of decisions that were gone before they could be sent."}},
	}
	for _, item := range file.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				one := 1
				switch {
				case p.Schema.Type == huma.TypeArray:
					p.Schema.MinItems, p.Schema.Nullable = &one, false
				case p.Schema.Type == huma.TypeString && p.Schema.MinLength == nil:
					p.Schema.MinLength = &one
				}
			}
			a.shapes[op.OperationID] = newShape(file, op)
			describeResponses(op)
		}
	}
}

func describeResponses(op *huma.Operation) {
	text := func(doc string) *huma.Header {
		return &huma.Header{Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	headers := map[string]map[string]*huma.Header{
		"401": {"WWW-Authenticate": text("RFC 6750 section 3.")},
		"403": {"WWW-Authenticate": text("RFC 6750 section 3, where scopes are missing.")},
		"429": {"Retry-After": text("Whole seconds.")},
		"503": {"Retry-After": text("Whole seconds.")},
	}
	for status, more := range headers {
		if response := op.Responses[status]; response != nil {
			response.Headers = more
		}
	}
	delete(op.Responses, "500") // our own faults are 503
}
