package quota

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Micros is an amount of money in millionths of the currency's unit. Money is never
// kept in floating point.
type Micros int64

const (
	unit = 1_000_000
	// Most bounds every limit and every amount, so that sums of many cannot overflow,
	// and so that a number in a database's script keeps every digit of it.
	Most = 1<<53 - 1
)

var errMoney = errors.New("an amount such as 10 or 0.02 is needed, with at most six digits after the point, and at most 9007199254.740991")

// ParseMicros reads an amount that is not negative, such as "0.02".
func ParseMicros(text string) (Micros, error) {
	whole, fraction, point := strings.Cut(text, ".")
	if whole == "" || len(whole) > 10 || point && fraction == "" || len(fraction) > 6 || !digits(whole) || !digits(fraction) {
		return 0, fmt.Errorf("%q: %w", text, errMoney)
	}
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", 6-len(fraction)), 10, 64)
	if err != nil || n > Most {
		return 0, fmt.Errorf("%q: %w", text, errMoney)
	}
	return Micros(n), nil
}

func digits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

// String writes the amount with two digits after the point, or as many more as it has.
func (m Micros) String() string {
	sign, abs := "", uint64(m)
	if m < 0 {
		sign, abs = "-", uint64(-(m+1))+1
	}
	fraction := fmt.Sprintf("%06d", abs%unit)
	for len(fraction) > 2 && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	return sign + strconv.FormatUint(abs/unit, 10) + "." + fraction
}

// MarshalText makes amounts decimal strings in JSON.
func (m Micros) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMicros, with a sign.
func (m *Micros) UnmarshalText(text []byte) error {
	plain, negative := strings.CutPrefix(string(text), "-")
	amount, err := ParseMicros(plain)
	if negative {
		amount = -amount
	}
	*m = amount
	return err
}
