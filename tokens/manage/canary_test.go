package manage

import (
	"net/url"
	"strings"
	"testing"
)

// canary looks like a secret that somebody has put into the wrong place.
const canary = "tgkCanary7f3aPq"

// canaries are forms of it: one that is a word, and others that no field takes.
var canaries = []any{
	canary, canary + " \"\u2028\\", "-" + strings.Repeat(canary, 20), canary + "/8", canary + "@", []any{canary + " "}, object{"a": canary}, []any{object{"a": canary}},
}

// valid are bodies that an operation takes, for wrong fields to be put into.
var valid = map[string]object{
	"create-token":   {"scopes": []string{"tollgate:admin"}},
	"create-client":  {"name": "n", "scopes": []string{"a"}},
	"create-api-key": {"name": "n"},
	"create-account": {"name": "n"},
	"create-user":    {"email": "ada@example.com", "name": "n", "role": "viewer"},
	"create-credit":  {"amount": "1.00"},
}

// fixedFields are not in the OpenAPI file.
var fixedFields = []string{"name", "token_ttl", "plan", "environment", "alias", "account", "format", "refresh", "apis", "ttl", "expires_at", "email", "credit", "unknown"}

// TestNoProblemTellsWhatWasSent sends something like a secret in every field of every
// operation. No problem and no line of the log has it, and nothing of it is our fault. What
// can be told is the name of a field that is unknown, and a well-formed scope that is
// missing.
func TestNoProblemTellsWhatWasSent(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	have := o.records("acme")
	have["tokens"] = o.by("POST", "/tokens", object{"scopes": []string{"tollgate:admin"}}).want(201).text("id")
	have["plans"] = "gold"
	file := o.by("GET", "/openapi.json", nil).want(200).body
	refused := 0
	look := func(op *operation, a *answer) {
		t.Helper()
		ev := o.lastEvent()
		if a.status >= 500 || ev.Err != nil {
			t.Errorf("%s: %d, %v", op.id, a.status, ev.Err)
		}
		if a.status >= 400 && a.body["missing_scopes"] == nil {
			refused++
			if a.hides("Canary7f3a"); strings.Contains(ev.Cause, "Canary7f3a") {
				t.Errorf("%s: the log has it: %s", op.id, ev.Cause)
			}
		}
	}
	for i := range operations {
		op := &operations[i]
		if op.method == "DELETE" {
			continue // they take nothing but an ID and If-Match, and those are asked by PATCH
		}
		kind := strings.Split(op.path, "/")[1]
		target := strings.NewReplacer("{id}", have[kind], "{name}", have[kind]).Replace(op.path)
		said := file["paths"].(object)[op.path].(object)[strings.ToLower(op.method)].(object)
		for _, value := range canaries {
			text, isText := value.(string)
			if isText {
				for _, p := range parameters(said) {
					switch p["in"] {
					case "path":
						other := strings.NewReplacer("{id}", url.PathEscape(text), "{name}", url.PathEscape(text)).Replace(op.path)
						look(op, o.by(op.method, other, valid[op.id]))
					case "query":
						look(op, o.by(op.method, target+"?"+p["name"].(string)+"="+url.QueryEscape(text), valid[op.id]))
					case "header":
						look(op, o.by(op.method, target, object{}, p["name"].(string), strings.ReplaceAll(text, "\u2028", "")))
					}
				}
			}
			if said["requestBody"] == nil {
				continue
			}
			all := object{}
			for _, name := range append(properties(file, said), fixedFields...) {
				body := object{name: value}
				for k, v := range valid[op.id] {
					if k != name {
						body[k] = v
					}
				}
				all[name] = value
				look(op, o.by(op.method, target, body))
				body[name] = []any{value}
				look(op, o.by(op.method, target, body))
			}
			look(op, o.by(op.method, target, all))
			look(op, o.by(op.method, target, value))
			if isText {
				look(op, o.by(op.method, target, text))
			}
		}
	}
	if refused < 1000 {
		t.Errorf("only %d requests were refused", refused)
	}
}

// parameters are those of an operation in the OpenAPI file.
func parameters(said object) (list []object) {
	all, _ := said["parameters"].([]any)
	for _, p := range all {
		list = append(list, p.(object))
	}
	return list
}

// properties are the names of the fields of an operation's body.
func properties(file, said object) (names []string) {
	schema := said["requestBody"].(object)["content"].(object)["application/json"].(object)["schema"].(object)
	if ref, ok := schema["$ref"].(string); ok {
		schema = file["components"].(object)["schemas"].(object)[ref[strings.LastIndex(ref, "/")+1:]].(object)
	}
	for name := range schema["properties"].(object) {
		names = append(names, name)
	}
	return names
}

// TestFixedFieldsAreNotInTheFile: nobody is told to send what is refused.
func TestFixedFieldsAreNotInTheFile(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	schemas := o.by("GET", "/openapi.json", nil).want(200).body["components"].(object)["schemas"].(object)
	for schema, fields := range map[string][]string{
		"ClientChange": {"scopes", "ip_allow", "status"}, "ApiKeyChange": {"scopes", "ip_allow"},
		"AccountChange": {"zone"}, "UserChange": {"name", "role", "account", "status"},
	} {
		shown, _ := schemas[schema].(object)["properties"].(object)
		for _, name := range fields {
			if shown[name] == nil {
				t.Errorf("%s lacks %s", schema, name)
			}
		}
		if len(shown) != len(fields) {
			t.Errorf("%s has %d fields, want %q", schema, len(shown), fields)
		}
	}
}
