package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tollgate-authz/tollgate/limiter/quota"
	"github.com/tollgate-authz/tollgate/tokens"
)

// limitsView is the limits of a token, in the words of contract section 5.
type limitsView struct {
	TotalRequests int64        `json:"total_requests,omitempty"`
	PaidRequests  int64        `json:"paid_requests,omitempty"`
	WalletAmount  quota.Micros `json:"wallet_amount,omitempty"`
	PerMinute     int64        `json:"per_minute,omitempty"`
	PerDay        int64        `json:"per_day,omitempty"`
}

func describeLimits(l tokens.TokenLimits) limitsView {
	return limitsView{TotalRequests: l.TotalRequests, PaidRequests: l.PaidRequests, WalletAmount: l.WalletAmount, PerMinute: l.PerMinute, PerDay: l.PerDay}
}

// text is how a table shows the limits.
func (v limitsView) text() string {
	var list []string
	for _, l := range []struct {
		name  string
		value int64
	}{{"total_requests", v.TotalRequests}, {"paid_requests", v.PaidRequests}, {"per_minute", v.PerMinute}, {"per_day", v.PerDay}} {
		if l.value != 0 {
			list = append(list, fmt.Sprintf("%s=%d", l.name, l.value))
		}
	}
	if v.WalletAmount != 0 {
		list = append(list, "wallet_amount="+v.WalletAmount.String())
	}
	if list == nil {
		return "-"
	}
	return strings.Join(list, ",")
}

// limitKinds is what --limit takes.
const limitKinds = "total_requests, paid_requests, wallet_amount, per_minute or per_day"

// limitEdit is what --limit says, of several kinds of limits.
type limitEdit map[string]int64

// parseLimits reads KIND=AMOUNT.
func parseLimits(list []string) (limitEdit, error) {
	edit := limitEdit{}
	var faults []error
	for _, text := range list {
		kind, amount, ok := strings.Cut(text, "=")
		value, err := parseAmount(kind, amount)
		switch _, twice := edit[kind]; {
		case !ok:
			faults = append(faults, fmt.Errorf("--limit %q: KIND=AMOUNT is needed, such as per_day=1000", text))
		case err != nil:
			faults = append(faults, fmt.Errorf("--limit %q: %w", text, err))
		case twice:
			faults = append(faults, fmt.Errorf("--limit names %s twice", kind))
		default:
			edit[kind] = value
		}
	}
	var limits tokens.TokenLimits
	edit.apply(&limits)
	return edit, errors.Join(append(faults, limits.Validate()...)...)
}

func parseAmount(kind, amount string) (int64, error) {
	switch kind {
	case "wallet_amount":
		money, err := quota.ParseMicros(amount)
		return int64(money), err
	case "total_requests", "paid_requests", "per_minute", "per_day":
		n, err := strconv.ParseInt(amount, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != amount {
			return 0, errors.New("a whole number is needed, such as 1000")
		}
		return n, nil
	}
	return 0, fmt.Errorf("the kind %q is unknown: %s", kind, limitKinds)
}

// apply makes the edit; limits of other kinds stay.
func (e limitEdit) apply(l *tokens.TokenLimits) {
	for kind, value := range e {
		switch kind {
		case "total_requests":
			l.TotalRequests = value
		case "paid_requests":
			l.PaidRequests = value
		case "wallet_amount":
			l.WalletAmount = quota.Micros(value)
		case "per_minute":
			l.PerMinute = value
		case "per_day":
			l.PerDay = value
		}
	}
}
