package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// loader makes Check calls over one HTTP/2 connection, as Envoy does: one stream
// a call, some of them in flight. It is written on frames and not on a gRPC
// client because that costs more for a call than the server to be measured: the
// server would wait for its load. A loader belongs to one goroutine.
type loader struct {
	conn   net.Conn
	in     *bufio.Reader
	out    *bufio.Writer
	framer *http2.Framer

	encode *hpack.Encoder
	block  blockBuffer // the header block of a call
	calls  int         // made on this connection
	decode *hpack.Decoder
	fields []hpack.HeaderField // of the block that is decoded

	window  int64          // how many bytes the server still takes on the connection
	credit  uint32         // bytes received that the server was not given back yet
	next    uint32         // stream ID of the next call
	streams map[uint32]int // the slot of each call in flight
}

// slot is one call in flight.
type slot struct {
	number  int
	began   time.Time
	status  string // of HTTP
	grpc    string // grpc-status
	message []byte // the answer, with its length prefix
}

// load is what one run sends and expects.
type load struct {
	calls  int // in all
	flight int // at a time
	// message returns the gRPC message of a call, with its length prefix; it is
	// used before message is called again.
	message func(call int) []byte
	// judge refuses an answer that is not the right one. Load tools that do not
	// look count a deny as a success.
	judge func(call int, answer []byte) error
}

// tally is what a run took, seen from the caller.
type tally struct {
	wall     time.Duration
	p50, p99 time.Duration // from a call's frames being written to its end
}

const (
	prefixBytes    = 5       // compressed flag and length before a gRPC message
	connectionRoom = 1 << 30 // of the window that the server gets from us
	creditStep     = 1 << 20
	runLimit       = 2 * time.Minute // of one run: a server that hangs must not hang us
)

// newLoader opens the connection and says hello.
func newLoader(address string) (*loader, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	l := &loader{
		conn: conn, in: bufio.NewReaderSize(conn, 64<<10), out: bufio.NewWriterSize(conn, 64<<10),
		window: 65535, next: 1, streams: map[uint32]int{},
	}
	l.framer = http2.NewFramer(l.out, l.in)
	l.framer.SetReuseFrames()
	l.encode = hpack.NewEncoder(&l.block)
	l.decode = hpack.NewDecoder(4096, func(f hpack.HeaderField) { l.fields = append(l.fields, f) })
	_, err = l.out.WriteString(http2.ClientPreface)
	err = errors.Join(err,
		l.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0}),
		l.framer.WriteWindowUpdate(0, connectionRoom))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("greet the server: %w", err), conn.Close())
	}
	return l, nil
}

func (l *loader) close() error { return l.conn.Close() }

// run makes the calls of a load. The first wrong answer ends it.
func (l *loader) run(w load) (tally, error) {
	began := now()
	if err := l.conn.SetDeadline(began.Add(runLimit)); err != nil {
		return tally{}, err
	}
	slots := make([]slot, w.flight)
	free := make([]int, w.flight)
	for i := range free {
		free[i] = i
	}
	took := make([]time.Duration, 0, w.calls)
	for sent := 0; len(took) < w.calls; {
		for sent < w.calls && len(free) > 0 {
			message := w.message(sent)
			if int64(len(message)) > l.window {
				break
			}
			i := free[len(free)-1]
			free = free[:len(free)-1]
			slots[i] = slot{number: sent, began: now(), message: slots[i].message[:0]}
			l.streams[l.next] = i
			if err := l.send(message); err != nil {
				return tally{}, fmt.Errorf("send call %d: %w", sent, err)
			}
			sent++
		}
		if err := l.out.Flush(); err != nil {
			return tally{}, fmt.Errorf("send: %w", err)
		}
		// What has arrived is taken in whole before new calls are written.
		for more := true; more; more = l.in.Buffered() > 0 {
			i, err := l.receive(slots)
			if err != nil {
				return tally{}, err
			}
			if i < 0 {
				continue
			}
			if err := slots[i].check(w.judge); err != nil {
				return tally{}, fmt.Errorf("call %d: %w", slots[i].number, err)
			}
			took = append(took, now().Sub(slots[i].began))
			free = append(free, i)
		}
	}
	t := tally{wall: now().Sub(began)}
	slices.Sort(took)
	t.p50, t.p99 = took[len(took)/2], took[len(took)*99/100]
	return t, nil
}

// callHeaders are those that Envoy sends with a Check call.
var callHeaders = []hpack.HeaderField{
	{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"},
	{Name: ":path", Value: "/envoy.service.auth.v3.Authorization/Check"}, {Name: ":authority", Value: "tollgate"},
	{Name: "te", Value: "trailers"}, {Name: "content-type", Value: "application/grpc"},
	{Name: "grpc-timeout", Value: "5000m"}, {Name: "x-envoy-internal", Value: "true"},
	{Name: "x-forwarded-for", Value: "192.0.2.2"}, {Name: "x-envoy-expected-rq-timeout-ms", Value: "5000"},
}

// send writes one call. The first header block puts every field into the
// connection's table, the second only points there, and so do all after it.
func (l *loader) send(message []byte) error {
	if l.calls < 2 {
		l.block = l.block[:0]
		for _, f := range callHeaders {
			if err := l.encode.WriteField(f); err != nil {
				return err
			}
		}
	}
	l.calls++
	id := l.next
	l.next += 2
	l.window -= int64(len(message))
	err := l.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: l.block, EndHeaders: true})
	if err != nil {
		return err
	}
	return l.framer.WriteData(id, true, message)
}

// receive takes in one frame. It returns the slot of the call that the frame
// ends, or -1.
func (l *loader) receive(slots []slot) (int, error) {
	f, err := l.framer.ReadFrame()
	if err != nil {
		return -1, fmt.Errorf("read an answer: %w", err)
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		i, err := l.slot(f.StreamID)
		if err != nil {
			return -1, err
		}
		slots[i].message = append(slots[i].message, f.Data()...)
		if l.credit += f.Length; l.credit >= creditStep {
			err = l.framer.WriteWindowUpdate(0, l.credit)
			l.credit = 0
		}
		if f.StreamEnded() {
			err = errors.Join(err, errors.New("an answer without trailers"))
		}
		return -1, err
	case *http2.HeadersFrame:
		return l.headers(f, slots)
	case *http2.SettingsFrame:
		if f.IsAck() {
			return -1, nil
		}
		return -1, l.framer.WriteSettingsAck()
	case *http2.PingFrame:
		if f.IsAck() {
			return -1, nil
		}
		return -1, l.framer.WritePing(true, f.Data)
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 { // a stream's own window is larger than any call
			l.window += int64(f.Increment)
		}
		return -1, nil
	case *http2.RSTStreamFrame:
		return -1, fmt.Errorf("the server reset a call: %v", f.ErrCode)
	case *http2.GoAwayFrame:
		return -1, fmt.Errorf("the server ended the connection: %v", f.ErrCode)
	}
	return -1, nil
}

func (l *loader) slot(stream uint32) (int, error) {
	i, ok := l.streams[stream]
	if !ok {
		return -1, fmt.Errorf("a frame on stream %d, which is not in use", stream)
	}
	return i, nil
}

func (l *loader) headers(f *http2.HeadersFrame, slots []slot) (int, error) {
	i, err := l.slot(f.StreamID)
	if err != nil {
		return -1, err
	}
	if !f.HeadersEnded() {
		return -1, errors.New("headers in several frames")
	}
	l.fields = l.fields[:0]
	if _, err := l.decode.Write(f.HeaderBlockFragment()); err != nil {
		return -1, fmt.Errorf("read headers: %w", err)
	}
	if err := l.decode.Close(); err != nil {
		return -1, fmt.Errorf("read headers: %w", err)
	}
	for _, h := range l.fields {
		switch h.Name {
		case ":status":
			slots[i].status = h.Value
		case "grpc-status":
			slots[i].grpc = h.Value
		}
	}
	if !f.StreamEnded() {
		return -1, nil
	}
	delete(l.streams, f.StreamID)
	return i, nil
}

// check judges a finished call.
func (s *slot) check(judge func(int, []byte) error) error {
	if s.status != "200" || s.grpc != "0" {
		return fmt.Errorf("HTTP status %q, grpc-status %q; want 200 and 0", s.status, s.grpc)
	}
	if len(s.message) < prefixBytes {
		return io.ErrUnexpectedEOF
	}
	if n := binary.BigEndian.Uint32(s.message[1:prefixBytes]); s.message[0] != 0 || int(n) != len(s.message)-prefixBytes {
		return fmt.Errorf("%d bytes of answer with the prefix %x", len(s.message)-prefixBytes, s.message[:prefixBytes])
	}
	return judge(s.number, s.message[prefixBytes:])
}

// frameMessage puts the length prefix of gRPC before a message.
func frameMessage(message []byte) []byte {
	framed := make([]byte, prefixBytes, prefixBytes+len(message))
	binary.BigEndian.PutUint32(framed[1:], uint32(len(message)))
	return append(framed, message...)
}

// blockBuffer is a header block being written.
type blockBuffer []byte

func (b *blockBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}
