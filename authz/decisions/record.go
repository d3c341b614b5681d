package decisions

import (
	"slices"
	"time"
)

// Record is one decision as it is shown.
type Record struct {
	Seq         uint64    `json:"seq" doc:"Sequence number. It grows with every decision, also over restarts."`
	Time        time.Time `json:"time" doc:"When the request came in."`
	ID          string    `json:"decision_id" doc:"ID of the decision, which the caller has as x-tollgate-decision."`
	Code        string    `json:"code" doc:"allow, or the R-code of the refusal."`
	Status      int       `json:"status" doc:"HTTP status of the refusal; 200 when the request was allowed."`
	Passed      bool      `json:"passed" doc:"True for a refusal that was not enforced (enforce: false)."`
	Step        string    `json:"step,omitempty" doc:"The step that refused."`
	Cause       string    `json:"cause,omitempty" doc:"Why it was refused, in words for the operator."`
	Method      string    `json:"method" doc:"Method of the request."`
	Host        string    `json:"host" doc:"Host of the request, as it was sent."`
	Path        string    `json:"path" doc:"Path of the request without its query; what looks like a credential is <hidden>."`
	API         string    `json:"api,omitempty" doc:"The API that the route belongs to."`
	Route       string    `json:"route,omitempty" doc:"Name of the route, else its pattern."`
	Account     string    `json:"account,omitempty" doc:"Account that the credential belongs to."`
	Client      string    `json:"client_id,omitempty" doc:"Client that the token was issued to; of an API key, the key's ID."`
	Token       string    `json:"token_id,omitempty" doc:"ID of the token or API key."`
	Environment string    `json:"environment,omitempty" doc:"production or sandbox."`
	Source      string    `json:"source,omitempty" doc:"Address that the request was judged by."`
	RequestID   string    `json:"request_id,omitempty" doc:"Envoy's x-request-id."`
	Limits      []string  `json:"limits,omitempty" doc:"Limits that refused."`
	Shadowed    []string  `json:"shadowed,omitempty" doc:"Limits of plans in shadow that would have refused."`
	TookMicros  int64     `json:"took_us" doc:"How long the decision took, in microseconds."`
	Steps       []Step    `json:"steps" doc:"The steps that the request came to, in their order."`
}

// Step is one step of the gate that a request came to.
type Step struct {
	Name   string `json:"step" doc:"Name of the step."`
	Result string `json:"result" enum:"passed,refused" doc:"What the step said."`
}

// Results of a step.
const (
	StepPassed  = "passed"
	StepRefused = "refused"
)

// record shows what is kept.
func (r *Ring) record(k *kept) Record {
	rec := Record{
		Seq: k.seq, Time: time.Unix(0, k.at).UTC().Truncate(time.Microsecond), ID: string(k.id[:]),
		Code: k.show(fieldCode), Status: int(k.status), Passed: k.flags&flagPassed != 0, Step: k.show(fieldStep), Cause: k.show(fieldCause),
		Method: k.show(fieldMethod), Host: k.show(fieldHost), Path: k.show(fieldPath), API: k.show(fieldAPI), Route: k.show(fieldRoute),
		Account: k.show(fieldAccount), Client: k.show(fieldClient), Token: k.show(fieldToken), Environment: k.show(fieldEnvironment),
		RequestID: k.show(fieldRequestID), Limits: k.list(fieldLimits), Shadowed: k.list(fieldShadowed), TookMicros: k.took.Microseconds(),
	}
	if source := k.sourceAddr(); source.IsValid() {
		rec.Source = source.String()
	}
	rec.Steps = r.stepsUpTo(rec.Step, k.flags&flagOpen != 0)
	return rec
}

// stepsUpTo lists the steps of a request that this one refused. One that is none of the
// gate's, such as a panic somewhere, stands alone: how far the request came is not known.
func (r *Ring) stepsUpTo(refused string, open bool) (steps []Step) {
	names := r.steps
	if open {
		names = names[:min(1, len(names))]
	}
	if refused != "" && !slices.Contains(names, refused) {
		return []Step{{refused, StepRefused}}
	}
	steps = make([]Step, 0, len(names))
	for _, name := range names {
		if name == refused {
			return append(steps, Step{name, StepRefused})
		}
		steps = append(steps, Step{name, StepPassed})
	}
	return steps
}
