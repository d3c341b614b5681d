package quota

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestParseMicros(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Micros{
		"0": 0, "10": 10_000_000, "0.02": 20_000, "0.000001": 1, "1.5": 1_500_000, "1.50": 1_500_000, "00012.340000": 12_340_000,
		"999999999.999999": 999_999_999_999_999, "9007199254.740991": Most,
	} {
		if got, err := ParseMicros(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1.2.3", " 1", "1 ", "0x10", "1_000", "0.0000001", "9007199254.740992", "10000000000", "00000000001", "١", "1.٢", "NaN", "1.-5", "1.+5",
	} {
		got, err := ParseMicros(text)
		if err == nil || !strings.Contains(err.Error(), "0.02") || !strings.Contains(err.Error(), `"`+text+`"`) {
			t.Errorf("%q is %d, %v; want an error that quotes it and says what would be right", text, got, err)
		}
	}
}

func TestMicrosString(t *testing.T) {
	t.Parallel()
	for m, want := range map[Micros]string{
		0: "0.00", 1: "0.000001", 20_000: "0.02", 10_000_000: "10.00", 1_500_000: "1.50", 1_234_500: "1.2345", -20_000: "-0.02", -1: "-0.000001", -10_000_000: "-10.00",
		Most: "9007199254.740991", math.MaxInt64: "9223372036854.775807", math.MinInt64: "-9223372036854.775808",
	} {
		if got := m.String(); got != want {
			t.Errorf("%d is %q, want %q", int64(m), got, want)
		}
	}
}

func TestMicrosInJSON(t *testing.T) {
	t.Parallel()
	type wallet struct {
		Credit, Debt Micros
	}
	const text = `{"Credit":"10.00","Debt":"-0.02"}`
	var w wallet
	if err := json.Unmarshal([]byte(text), &w); err != nil || w != (wallet{10_000_000, -20_000}) {
		t.Errorf("%+v, %v", w, err)
	}
	if got, err := json.Marshal(w); err != nil || string(got) != text {
		t.Errorf("%s, %v; want %s", got, err, text)
	}
	for _, faulty := range []string{`{"Credit":10}`, `{"Credit":"--1"}`, `{"Credit":"-"}`, `{"Credit":""}`, `{"Credit":"1.0000001"}`} {
		if err := json.Unmarshal([]byte(faulty), &w); err == nil {
			t.Errorf("%s was read: %+v", faulty, w)
		}
	}
}

// FuzzMicros: what is read is written as an amount that reads the same, and the other
// way round.
func FuzzMicros(f *testing.F) {
	for _, text := range []string{"0", "0.02", "999999999.999999", "1.", "-1", "1e3", "00.10"} {
		f.Add(text, int64(len(text)))
	}
	f.Fuzz(func(t *testing.T, text string, n int64) {
		if m, err := ParseMicros(text); err == nil {
			if again, err := ParseMicros(m.String()); err != nil || again != m {
				t.Errorf("%q is %d, and its %q is %d, %v", text, int64(m), m.String(), int64(again), err)
			}
			if m < 0 || m > Most {
				t.Errorf("%q is %d", text, int64(m))
			}
			whole, fraction, _ := strings.Cut(text, ".")
			if want := strings.TrimLeft(whole, "0") + "." + strings.TrimRight(fraction, "0"); want != strings.TrimLeft(strings.TrimRight(m.String(), "0"), "0") {
				t.Errorf("%q was read as %q", text, m.String())
			}
		}
		m := Micros(n)
		var again Micros
		err := again.UnmarshalText([]byte(m.String()))
		if inRange := n > -1_000_000_000*unit && n < 1_000_000_000*unit; inRange != (err == nil) || inRange && again != m {
			t.Errorf("%d is written %q, which is %d, %v", n, m.String(), int64(again), err)
		}
	})
}
