package decisions

import (
	"net/netip"
	"strings"
	"sync"
	"time"
)

// field is one of the texts that a slot keeps.
type field uint8

const (
	fieldCode field = iota
	fieldStep
	fieldMethod
	fieldHost
	fieldPath
	fieldAccount
	fieldClient
	fieldToken
	fieldEnvironment
	fieldAPI
	fieldRoute
	fieldRequestID
	// What follows gets what the others have left, which is usually plenty.
	fieldLimits
	fieldShadowed
	fieldCause
	fields
)

// room is the most bytes of a text. That of accounts, clients and plans is the longest
// that their names may have: a filter must tell two accounts apart.
var room = [fields]int{
	fieldCode: 8, fieldStep: 16, fieldMethod: 16, fieldHost: 96, fieldPath: 224, fieldAccount: 128, fieldClient: 128, fieldToken: 64,
	fieldEnvironment: 10, fieldAPI: 64, fieldRoute: 96, fieldRequestID: 40, fieldLimits: 128, fieldShadowed: 128, fieldCause: 256,
}

const slotBytes = 1024

// door is what a writer passes on its way to a slot. Doors lie side by side, so that they
// are in the processor's caches, which the slots are not: into those one only writes, and
// waits for nothing.
type door struct {
	mu  sync.Mutex
	seq uint64 // of the decision behind it
}

// kept is what is remembered of a decision, in slotBytes. It holds no pointer: thousands of them are
// nothing to the garbage collector, and keep nobody's token or message in memory.
type kept struct {
	seq     uint64
	at      int64 // nanoseconds since 1970
	took    time.Duration
	source  [16]byte
	id      [20]byte
	status  uint16
	clipped uint16 // by field, a bit each
	ends    [fields]uint16
	flags   flags
	text    [929]byte // one field after the other; it makes the slot slotBytes long
}

type flags uint8

const (
	flagOpen flags = 1 << iota
	flagPassed
	flagSource // there is one
)

// fill writes a decision over what was there.
func (k *kept) fill(n uint64, e *Entry) {
	k.seq, k.at, k.took, k.id, k.status, k.clipped, k.flags = n, e.At.UnixNano(), e.Took, e.ID, uint16(e.Status), 0, 0
	if e.Open {
		k.flags |= flagOpen
	}
	if e.Passed {
		k.flags |= flagPassed
	}
	if e.Source.IsValid() {
		k.flags |= flagSource
		k.source = e.Source.As16()
	}
	end := 0
	end = k.put(fieldCode, end, e.Code)
	end = k.put(fieldStep, end, e.Step)
	end = k.put(fieldMethod, end, e.Method)
	end = k.put(fieldHost, end, hide(e.Host))
	end = k.put(fieldPath, end, hide(withoutQuery(e.Path)))
	end = k.put(fieldAccount, end, e.Account)
	end = k.put(fieldClient, end, e.Client)
	end = k.put(fieldToken, end, e.Token)
	end = k.put(fieldEnvironment, end, e.Environment)
	end = k.put(fieldAPI, end, e.API)
	end = k.put(fieldRoute, end, e.Route)
	end = k.put(fieldRequestID, end, hide(e.RequestID))
	end = k.putList(fieldLimits, end, e.Limits)
	end = k.putList(fieldShadowed, end, e.Shadowed)
	if e.Cause != "" {
		line, _, _ := strings.Cut(e.Cause, "\n") // of a panic, a stack follows
		end = k.put(fieldCause, end, hide(line))
	}
	k.ends[fieldCause] = uint16(end)
}

// put writes a text from begin on and returns its end.
func (k *kept) put(f field, begin int, text string) (end int) {
	free := k.text[begin:min(begin+room[f], len(k.text))]
	n := copy(free, text)
	if n < len(text) {
		k.clipped |= 1 << f
	}
	k.ends[f] = uint16(begin + n)
	return begin + n
}

// putList writes names as one text.
func (k *kept) putList(f field, begin int, names []string) (end int) {
	end = begin
	if len(names) > 0 {
		end = k.put(f, begin, strings.Join(names, " "))
	}
	k.ends[f] = uint16(end)
	return end
}

// bytes are those of a text, without what was clipped.
func (k *kept) bytes(f field) []byte {
	begin := uint16(0)
	if f > 0 {
		begin = k.ends[f-1]
	}
	return k.text[begin:k.ends[f]]
}

// is reports whether a text is that one. A clipped text may be anything.
func (k *kept) is(f field, text string) bool {
	return string(k.bytes(f)) == text && k.clipped&(1<<f) == 0
}

// show is a text as it is printed.
func (k *kept) show(f field) string {
	text := strings.ToValidUTF8(string(k.bytes(f)), "�")
	if k.clipped&(1<<f) == 0 {
		return text
	}
	// What was cut in two is not shown as damaged.
	return strings.TrimRight(text, "�") + "…"
}

// list are the names that putList wrote.
func (k *kept) list(f field) []string {
	if len(k.bytes(f)) == 0 {
		return nil
	}
	return strings.Fields(k.show(f))
}

func (k *kept) sourceAddr() (addr netip.Addr) {
	if k.flags&flagSource != 0 {
		addr = netip.AddrFrom16(k.source).Unmap()
	}
	return addr
}
