package tokens

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"strings"
)

// A refresh token says which it is of which family, under a MAC: whoever kept an
// old one is recognized by it without a record of every token there ever was,
// and what was made up is refused without a look into the store. Nothing about
// it is stored, and the store alone makes none.
type refreshLayout struct {
	family, counter, mac int // bytes
	encode               func([]byte) string
	decode               func(string) []byte // nil: not of this layout
}

const refreshPrefix = "tgr_"

var (
	refreshLong = refreshLayout{family: idBytes, counter: 4, mac: 16,
		encode: func(raw []byte) string { return refreshPrefix + base64.RawURLEncoding.EncodeToString(raw) },
		decode: func(token string) []byte {
			text, ok := strings.CutPrefix(token, refreshPrefix)
			raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
			if !ok || err != nil || strings.ContainsAny(text, "\r\n") {
				return nil
			}
			return raw
		},
	}
	refreshClassic = refreshLayout{family: 8, counter: 2, mac: classicBytes - 8 - 2, encode: encodeClassic, decode: decodeClassic}
)

func (l *refreshLayout) size() int { return l.family + l.counter + l.mac }

// last is the counter of the last token that a family can have.
func (l *refreshLayout) last() uint32 { return 1<<(8*l.counter) - 1 }

// layoutOf tells by the length of a family's ID how its tokens are laid out.
func layoutOf(family []byte) *refreshLayout {
	for _, l := range []*refreshLayout{&refreshLong, &refreshClassic} {
		if len(family) == l.family {
			return l
		}
	}
	return nil
}

// NewFamilyID draws the ID of a family whose refresh tokens have that format.
func NewFamilyID(format Format, random io.Reader) (string, error) {
	if format == Classic {
		return drawBytes(refreshClassic.family, random)
	}
	return drawBytes(refreshLong.family, random)
}

// RefreshToken returns the refresh token of a family with that counter.
func (p *Pepper) RefreshToken(family string, counter uint32) (Secret, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(family)
	l := layoutOf(raw)
	switch {
	case err != nil || l == nil:
		return "", fmt.Errorf("family %q is not named by NewFamilyID", family)
	case counter == 0 || counter > l.last():
		return "", fmt.Errorf("family %s: there is no refresh token number %d", family, counter)
	}
	var number [4]byte
	binary.BigEndian.PutUint32(number[:], counter)
	raw = append(raw, number[4-l.counter:]...)
	raw = append(raw, p.mac("refresh-token", raw)[:l.mac]...)
	return Secret(l.encode(raw)), nil
}

// ReadRefreshToken returns which token it is of which family; false when it was not
// made here.
func (p *Pepper) ReadRefreshToken(token Secret) (family string, counter uint32, ok bool) {
	for _, l := range []*refreshLayout{&refreshLong, &refreshClassic} {
		raw := l.decode(token.Reveal())
		if len(raw) != l.size() {
			continue
		}
		said, mac := raw[:l.family+l.counter], raw[l.family+l.counter:]
		if !hmac.Equal(mac, p.mac("refresh-token", said)[:l.mac]) {
			return "", 0, false
		}
		var number [4]byte
		copy(number[4-l.counter:], said[l.family:])
		return base64.RawURLEncoding.EncodeToString(said[:l.family]), binary.BigEndian.Uint32(number[:]), true
	}
	return "", 0, false
}

// LastRefresh reports whether a family has no token after the one with that counter.
func LastRefresh(family string, counter uint32) bool {
	raw, _ := base64.RawURLEncoding.DecodeString(family)
	l := layoutOf(raw)
	return l == nil || counter >= l.last()
}

// classicBytes are what 24 characters of [A-Za-z0-9] hold.
const classicBytes = 17

// encodeClassic writes a number of 136 bits to the base 62, in 24 digits.
func encodeClassic(raw []byte) string {
	digits := make([]byte, classicToken)
	n, base, digit := new(big.Int).SetBytes(raw), big.NewInt(int64(len(alphanumeric))), new(big.Int)
	for i := len(digits) - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		digits[i] = alphanumeric[digit.Int64()]
	}
	return string(digits)
}

func decodeClassic(token string) []byte {
	if len(token) != classicToken {
		return nil
	}
	n, base := new(big.Int), big.NewInt(int64(len(alphanumeric)))
	for i := range len(token) {
		digit := strings.IndexByte(alphanumeric, token[i])
		if digit < 0 {
			return nil
		}
		n.Add(n.Mul(n, base), big.NewInt(int64(digit)))
	}
	if n.BitLen() > 8*classicBytes {
		return nil
	}
	return n.FillBytes(make([]byte, classicBytes))
}
