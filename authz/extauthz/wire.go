package extauthz

import (
	"errors"
	"math/bits"
	"unsafe"
)

// The protobuf wire format, as much of it as a CheckRequest needs
// (https://protobuf.dev/programming-guides/encoding).
const (
	wireVarint = 0
	wireI64    = 1
	wireBytes  = 2
	wireStart  = 3
	wireEnd    = 4
	wireI32    = 5
)

var errWire = errors.New("malformed protobuf message")

// maxGroupDepth bounds how deep groups (of fields that we do not know) may nest.
const maxGroupDepth = 100

// fields walks over the fields of one message.
type fields struct {
	rest []byte
	num  uint32 // of the current field
	kind uint8  // its wire type
	val  uint64 // of a varint field
	data []byte // of a bytes field; shares the memory of the message
	err  error
}

// next steps to the next field. It returns false at the end and on a fault.
func (f *fields) next() bool {
	if len(f.rest) == 0 || f.err != nil {
		return false
	}
	tag, ok := f.varint()
	if !ok || tag>>3 == 0 || tag>>3 > 1<<29-1 {
		f.err = errWire
		return false
	}
	f.num, f.kind, f.data = uint32(tag>>3), uint8(tag&7), nil
	if !f.value(0) {
		f.err = errWire
		return false
	}
	return true
}

// value reads, or skips, what follows a tag.
func (f *fields) value(depth int) bool {
	switch f.kind {
	case wireVarint:
		var ok bool
		f.val, ok = f.varint()
		return ok
	case wireBytes:
		n, ok := f.varint()
		if !ok || n > uint64(len(f.rest)) {
			return false
		}
		f.data, f.rest = f.rest[:n], f.rest[n:]
		return true
	case wireI64:
		return f.skip(8)
	case wireI32:
		return f.skip(4)
	case wireStart:
		return depth < maxGroupDepth && f.skipGroup(f.num, depth)
	}
	return false
}

func (f *fields) skip(n int) bool {
	if len(f.rest) < n {
		return false
	}
	f.rest = f.rest[n:]
	return true
}

// skipGroup reads up to the end of the group that has just begun. Groups are a
// relic that protobuf parsers must still be able to step over.
func (f *fields) skipGroup(num uint32, depth int) bool {
	for {
		tag, ok := f.varint()
		if !ok || tag>>3 == 0 || tag>>3 > 1<<29-1 {
			return false
		}
		inner := fields{rest: f.rest, num: uint32(tag >> 3), kind: uint8(tag & 7)}
		if inner.kind == wireEnd {
			return inner.num == num
		}
		if !inner.value(depth + 1) {
			return false
		}
		f.rest = inner.rest
	}
}

func (f *fields) varint() (v uint64, ok bool) {
	for i, b := range f.rest {
		if i == 9 && b > 1 || i > 9 {
			return 0, false
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			f.rest = f.rest[i+1:]
			return v, true
		}
	}
	return 0, false
}

// text reads a bytes field as a string without copying it.
func (f *fields) text() string { return unsafe.String(unsafe.SliceData(f.data), len(f.data)) }

// The writers append one field each. size functions say what they will append.

func appendVarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

func sizeVarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// tag is a field number below 16 with its wire type: one byte.
func tag(num, kind byte) byte { return num<<3 | kind }

func appendLen(dst []byte, num byte, n int) []byte {
	return appendVarint(append(dst, tag(num, wireBytes)), uint64(n))
}

// sizeLen is the size of a bytes field whose content has n bytes.
func sizeLen(n int) int { return 1 + sizeVarint(uint64(n)) + n }

func appendText[T string | []byte](dst []byte, num byte, s T) []byte {
	return append(appendLen(dst, num, len(s)), s...)
}

// begin and end write a message whose size is not known beforehand: begin keeps
// one byte for the length, which is enough below 128; end moves a longer message
// up to make room.
func begin(dst []byte, num byte) (_ []byte, mark int) {
	dst = append(dst, tag(num, wireBytes), 0)
	return dst, len(dst)
}

func end(dst []byte, mark int) []byte {
	n := len(dst) - mark
	if n < 0x80 {
		dst[mark-1] = byte(n)
		return dst
	}
	extra := sizeVarint(uint64(n)) - 1
	for range extra {
		dst = append(dst, 0)
	}
	copy(dst[mark+extra:], dst[mark:mark+n])
	appendVarint(dst[:mark-1], uint64(n))
	return dst
}
