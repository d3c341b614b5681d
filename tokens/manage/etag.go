package manage

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// Matching is what every change takes that may be made under a condition.
type Matching struct {
	IfMatch string `header:"If-Match" maxLength:"512" doc:"ETag that the record must have for the change to be made (RFC 9110 section 13.1.1)."`
}

// etagOf is the ETag of a record: of what of it can be changed, as it is shown.
func etagOf(view any) string {
	text, err := json.Marshal(view)
	if err != nil { // views are structs of texts and numbers
		panic(err)
	}
	sum := sha256.Sum256(text)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// require refuses the change where somebody else has changed the record since.
func (m *Matching) require(etag string) error {
	if m.IfMatch == "" {
		return nil
	}
	for one := range strings.SplitSeq(m.IfMatch, ",") {
		if one = strings.TrimSpace(one); one == "*" || one == etag {
			return nil
		}
	}
	return newProblem(http.StatusPreconditionFailed, "the record is not the one that If-Match names: it was changed since; read it again")
}
