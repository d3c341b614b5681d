package extauthz

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec of every other service
	"google.golang.org/grpc/mem"
)

// codec hands Check its messages as bytes. Decoding a CheckRequest into structs
// costs more than the whole decision; the fields that matter are read from the
// wire in passing. Health and reflection go to the ordinary codec.
type codec struct{ proto encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// incoming is a request as it came; it must be freed.
type incoming struct{ data mem.BufferSlice }

// outgoing is an answer in a buffer from the pool; the transport frees it.
type outgoing struct{ data mem.Buffer }

// Name is "proto": the content-type stays application/grpc+proto.
func (codec) Name() string { return "proto" }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if in, ok := v.(*incoming); ok {
		data.Ref()
		in.data = data
		return nil
	}
	return c.proto.Unmarshal(data, v)
}

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if out, ok := v.(*outgoing); ok {
		return mem.BufferSlice{out.data}, nil
	}
	data, err := c.proto.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("extauthz: %w", err)
	}
	return data, nil
}

// bytes returns the message in one piece. Only a long one comes in several.
func (in *incoming) bytes() []byte {
	if len(in.data) == 1 {
		return in.data[0].ReadOnlyData()
	}
	return in.data.Materialize()
}

// answerRoom holds nearly every answer; a longer one grows past it.
const answerRoom = 2 << 10

// write makes an answer in a pooled buffer.
func write(appendTo func([]byte) []byte) *outgoing {
	pool := mem.DefaultBufferPool()
	buffer := pool.Get(answerRoom)
	*buffer = appendTo((*buffer)[:0])
	return &outgoing{mem.NewBuffer(buffer, pool)}
}
