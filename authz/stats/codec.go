package stats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// version is the first byte of a row's data. What follows are numbers, as varints of
// encoding/binary without a sign:
//
//	count of texts, then each: length, bytes
//	count of series, then each: the numbers of its texts (domain, API, route, client,
//	    token, code), requests, paid calls, and where there are some, their amount
//	count of addresses, then each: length (0, 4 or 16), bytes, requests
//	requests from other addresses
const version = 1

// The least that a text, a series and an address take: whoever claims to have more of
// them than there is room for is not believed.
const (
	leastText    = 1
	leastSeries  = 8
	leastAddress = 2
)

// encoder writes the data of a row.
type encoder struct {
	numbers   map[string]uint32
	last      [6]numbered // of the series before: most of its texts come again
	texts     []byte
	series    []byte
	addresses []byte
	nSeries   uint64
	nAddress  uint64
	others    int64
}

type numbered struct {
	text   string
	number uint32
}

func newEncoder() *encoder { return &encoder{numbers: make(map[string]uint32, 64)} }

// empty makes an encoder ready for another row.
func (e *encoder) empty() {
	clear(e.numbers)
	*e = encoder{numbers: e.numbers, texts: e.texts[:0], series: e.series[:0], addresses: e.addresses[:0]}
}

func (e *encoder) addSeries(s *Series, c *Counts) {
	e.nSeries++
	for i, text := range [...]string{s.Domain, s.API, s.Route, s.Client, s.Token, s.Code} {
		last := &e.last[i]
		if last.text != text || e.nSeries == 1 {
			*last = numbered{text, e.number(text)}
		}
		e.series = binary.AppendUvarint(e.series, uint64(last.number))
	}
	e.series = binary.AppendUvarint(e.series, uint64(c.Requests))
	e.series = binary.AppendUvarint(e.series, uint64(c.PaidCalls))
	if c.PaidCalls > 0 {
		e.series = binary.AppendUvarint(e.series, uint64(c.PaidAmount))
	}
}

func (e *encoder) number(text string) uint32 {
	n, known := e.numbers[text]
	if !known {
		n = uint32(len(e.numbers))
		e.numbers[text] = n
		e.texts = binary.AppendUvarint(e.texts, uint64(len(text)))
		e.texts = append(e.texts, text...)
	}
	return n
}

func (e *encoder) addAddress(a netip.Addr, requests int64) {
	e.nAddress++
	raw := a.AsSlice()
	e.addresses = append(append(e.addresses, byte(len(raw))), raw...)
	e.addresses = binary.AppendUvarint(e.addresses, uint64(requests))
}

func (e *encoder) len() int { return len(e.texts) + len(e.series) + len(e.addresses) }

func (e *encoder) bytes() []byte {
	out := make([]byte, 0, e.len()+5*binary.MaxVarintLen64)
	out = append(out, version)
	out = append(binary.AppendUvarint(out, uint64(len(e.numbers))), e.texts...)
	out = append(binary.AppendUvarint(out, e.nSeries), e.series...)
	out = append(binary.AppendUvarint(out, e.nAddress), e.addresses...)
	return binary.AppendUvarint(out, uint64(e.others))
}

var errData = errors.New("the data of the statistics are damaged")

// decoder reads the data of a row. After a fault all that it returns is zero.
type decoder struct {
	rest  string
	texts []string
	err   error
}

// newDecoder copies data once: the texts share that memory.
func newDecoder(data []byte) *decoder {
	d := &decoder{rest: string(data)}
	if len(data) == 0 || data[0] != version {
		d.fail("version")
		if len(data) > 0 && data[0] > version {
			d.err = fmt.Errorf("the data of the statistics have version %d and this tollgate knows %d: a newer one has written them", data[0], version)
		}
		return d
	}
	d.rest = d.rest[1:]
	texts := make([]string, d.count(leastText))
	for i := range texts {
		texts[i] = d.take(d.uint())
	}
	if d.err == nil {
		d.texts = texts
	}
	return d
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", errData, what)
	}
	d.rest, d.texts = "", nil
}

func (d *decoder) uint() uint64 {
	var n uint64
	for i := range min(len(d.rest), binary.MaxVarintLen64) {
		c := d.rest[i]
		if c < 0x80 {
			if i == binary.MaxVarintLen64-1 && c > 1 {
				break
			}
			d.rest = d.rest[i+1:]
			return n | uint64(c)<<(7*i)
		}
		n |= uint64(c&0x7f) << (7 * i)
	}
	d.fail("number")
	return 0
}

// amount is a number that was counted.
func (d *decoder) amount() int64 {
	n := d.uint()
	if n > math.MaxInt64 {
		d.fail("amount")
		return 0
	}
	return int64(n)
}

// count is how many things follow that take so many bytes at least.
func (d *decoder) count(least int) int {
	n := d.uint()
	if n > uint64(len(d.rest)/least) {
		d.fail("count")
		return 0
	}
	return int(n)
}

func (d *decoder) take(n uint64) string {
	if n > uint64(len(d.rest)) {
		d.fail("length")
		return ""
	}
	text := d.rest[:n]
	d.rest = d.rest[n:]
	return text
}

func (d *decoder) text() string {
	n := d.uint()
	if n >= uint64(len(d.texts)) {
		d.fail("text")
		return ""
	}
	return d.texts[n]
}

func (d *decoder) oneSeries() (s Series, c Counts) {
	s.Domain, s.API, s.Route = d.text(), d.text(), d.text()
	s.Client, s.Token, s.Code = d.text(), d.text(), d.text()
	c.Requests, c.PaidCalls = d.amount(), d.amount()
	if c.PaidCalls > 0 {
		c.PaidAmount = quota.Micros(d.amount())
	}
	return s, c
}

func (d *decoder) oneAddress() (a netip.Addr, requests int64) {
	raw := d.take(d.uint())
	switch len(raw) {
	case 0:
	case 4:
		a = netip.AddrFrom4([4]byte([]byte(raw)))
	case 16:
		a = netip.AddrFrom16([16]byte([]byte(raw)))
	default:
		d.fail("address")
	}
	return a, d.amount()
}

// walk reads the data of a row. Of damaged data some may have been seen before the
// error.
func walk(data []byte, series func(*Series, *Counts), address func(netip.Addr, int64), others func(int64)) error {
	d := newDecoder(data)
	for range d.count(leastSeries) {
		if s, c := d.oneSeries(); d.err == nil {
			series(&s, &c)
		}
	}
	for range d.count(leastAddress) {
		if a, n := d.oneAddress(); d.err == nil {
			address(a, n)
		}
	}
	n := d.amount()
	if d.rest != "" {
		d.fail("end")
	}
	if d.err == nil {
		others(n)
	}
	return d.err
}
