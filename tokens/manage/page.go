package manage

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollgate-authz/tollgate/tokens"
)

// Listing is what every list takes.
type Listing struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"Most records to be answered."`
	Cursor string `query:"cursor" maxLength:"512" doc:"next_cursor of the page before. Left out: from the start."`

	list  string // its path
	after tokens.Position
}

// Resolve reads the cursor.
func (l *Listing) Resolve(ctx huma.Context) []error {
	l.list = ctx.Operation().Path
	if l.Cursor == "" {
		return nil
	}
	var ok bool
	if l.after, ok = readCursor(l.list, l.Cursor); !ok {
		return []error{wrong("query.cursor", badCursor)}
	}
	return nil
}

const badCursor = "is no cursor of this list: take next_cursor as it was answered"

// pageOf is one page of a list.
type pageOf[T any] struct {
	Data       []T     `json:"data" doc:"The records." nullable:"false"`
	NextCursor *string `json:"next_cursor" doc:"Cursor of the next page; null: there is none."`
}

// page is the answer with one.
type page[T any] struct{ Body pageOf[T] }

// newPage makes a page of records, of which one more was read than is to be shown.
func newPage[R, T any](records []R, in *Listing, show func(R) T, position func(R) tokens.Position) *page[T] {
	p := &page[T]{pageOf[T]{Data: make([]T, 0, min(in.Limit, len(records)))}}
	if len(records) > in.Limit {
		records = records[:in.Limit]
		cursor := writeCursor(in.list, position(records[in.Limit-1]))
		p.Body.NextCursor = &cursor
	}
	for _, r := range records {
		p.Body.Data = append(p.Body.Data, show(r))
	}
	return p
}

// A cursor says where in which list somebody is. It is no secret and no promise: whoever
// makes one up reads on from there, in what he may read anyhow.
func writeCursor(list string, p tokens.Position) string {
	micros := int64(0)
	if !p.At.IsZero() {
		micros = p.At.UnixMicro()
	}
	return base64.RawURLEncoding.EncodeToString([]byte(list + " " + strconv.FormatInt(micros, 36) + "." + p.ID))
}

func readCursor(list, text string) (p tokens.Position, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return p, false
	}
	rest, ours := strings.CutPrefix(string(raw), list+" ")
	number, id, ok := strings.Cut(rest, ".")
	micros, err := strconv.ParseInt(number, 36, 64)
	if !ours || !ok || err != nil || micros < 0 || strconv.FormatInt(micros, 36) != number || id == "" {
		return p, false
	}
	if micros != 0 {
		p.At = time.UnixMicro(micros)
	}
	p.ID = id
	return p, true
}

// wrong says of one field what would be right.
func wrong(location, message string) error {
	return &huma.ErrorDetail{Location: location, Message: message}
}
