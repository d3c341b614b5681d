package envoy

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// logFields is one line of the access log. No request header is in it that may
// hold a credential, and no query: callers put tokens and keys there whether an
// API reads them or not.
var logFields = map[string]any{
	"time":        "%START_TIME%",
	"method":      "%REQ(:METHOD)%",
	"host":        "%REQ(:AUTHORITY)%",
	"path":        "%PATH(NQ:PATH)%",
	"protocol":    "%PROTOCOL%",
	"request_id":  "%REQ(X-REQUEST-ID)%",
	"peer":        "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
	"client_ip":   "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
	"status":      "%RESPONSE_CODE%",
	"details":     "%RESPONSE_CODE_DETAILS%",
	"flags":       "%RESPONSE_FLAGS%",
	"grpc_status": "%GRPC_STATUS_NUMBER%",
	"duration_ms": "%DURATION%",
	"received":    "%BYTES_RECEIVED%",
	"sent":        "%BYTES_SENT%",
	"upstream":    "%UPSTREAM_HOST%",

	"code":        decided("code"),
	"decision_id": decided("decision_id"),
	"client":      decided("client"),
	"account":     decided("account"),
	"api":         decided("api"),
	"route":       decided("route"),
	"environment": decided("environment"),
}

// decided reads the dynamic metadata that tollgate's answer carries.
func decided(key string) string {
	return "%DYNAMIC_METADATA(" + filterName + ":" + key + ")%"
}

func accessLog() ([]*accesslogv3.AccessLog, error) {
	fields, err := structpb.NewStruct(logFields)
	if err != nil {
		return nil, err
	}
	packed, err := anypb.New(&streamv3.StdoutAccessLog{
		AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: &corev3.SubstitutionFormatString{
			Format:          &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: fields},
			OmitEmptyValues: true,
		}},
	})
	return []*accesslogv3.AccessLog{{
		Name:       "envoy.access_loggers.stdout",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed},
	}}, err
}
