package wire

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/media"
	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// fill sets every field of the value that v points to to something of its own, so
// that a field which does not cross, or crosses into another one, shows.
func fill(t *testing.T, v any) {
	t.Helper()
	n := int64(0)
	fillValue(t, reflect.ValueOf(v).Elem(), &n)
}

func fillValue(t *testing.T, v reflect.Value, n *int64) {
	t.Helper()
	*n++
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Unix(1_700_000_000, *n)
		return
	case *media.Encoding:
		*x = media.Linear16
		return
	case *adapter.Kind:
		*x = adapter.KindConfig
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("value ", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(*n)
	case reflect.Uint8:
		v.SetUint(uint64(*n))
	case reflect.Float32:
		v.SetFloat(float64(*n))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(t, v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fillValue(t, v.Field(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fillValue(t, key, n)
			fillValue(t, value, n)
			v.SetMapIndex(key, value)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fillValue(t, v.Index(i), n)
		}
	case reflect.Interface: // an error
		v.Set(reflect.ValueOf(errors.New(fmt.Sprint("error ", *n))))
	default:
		t.Fatalf("fill: no rule for %v", v.Type())
	}
}

// overWire sends a message through its encoding.
func overWire[M any, P interface {
	*M
	proto.Message
}](t *testing.T, m P) P {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out P = new(M)
	if err := proto.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// roundTrip checks a type that crosses the seam: each filled field comes back.
func roundTrip[T any](t *testing.T, cross func(T) T) {
	t.Helper()
	t.Run(reflect.TypeFor[T]().Name(), func(t *testing.T) {
		var want T
		if got := cross(want); !cmp.Equal(want, got) {
			t.Errorf("the zero value came back as %+v", got)
		}
		fill(t, &want)
		if d := cmp.Diff(want, cross(want)); d != "" {
			t.Errorf("not the same (-sent +came back):\n%s", d)
		}
	})
}

func TestRoundTrip(t *testing.T) {
	roundTrip(t, func(v adapter.LegInfo) adapter.LegInfo { return ToLegInfo(overWire(t, FromLegInfo(7, v))) })
	roundTrip(t, func(v adapter.Track) adapter.Track {
		m := overWire(t, FromTrack(7, 8, "left", v))
		id, got := ToTrack(m)
		if id != "left" || m.GetLeg() != 7 || m.GetTrack() != 8 {
			t.Errorf("Join crossed as leg %d, track %d %q", m.GetLeg(), m.GetTrack(), id)
		}
		return got
	})
	roundTrip(t, func(v adapter.Note) adapter.Note { return ToNote(overWire(t, FromNote(7, v))) })
	roundTrip(t, func(v adapter.EndReason) adapter.EndReason { return ToEnd(overWire(t, FromEnd(7, v))) })
	roundTrip(t, func(v adapter.Control) adapter.Control { return ToControl(overWire(t, FromControl(7, v))) })
	roundTrip(t, func(v adapter.RelayRequest) adapter.RelayRequest {
		return ToRelay(overWire(t, FromRelay(7, v, time.Second)))
	})
	roundTrip(t, func(v adapter.AttachRequest) adapter.AttachRequest { return ToAttach(overWire(t, FromAttach(v))) })
	roundTrip(t, func(v adapter.DetachRequest) adapter.DetachRequest { return ToDetach(overWire(t, FromDetach(v))) })
	roundTrip(t, func(v adapter.Listener) adapter.Listener {
		return ToListeners([]*plugv1.Listener{overWire(t, FromListeners([]adapter.Listener{v})[0])})[0]
	})
	roundTrip(t, func(v adapter.Problem) adapter.Problem {
		return ToProblems([]*plugv1.Problem{overWire(t, FromProblems(adapter.Problems{v})[0])})[0]
	})
	roundTrip(t, func(v adapter.Refusal) adapter.Refusal {
		r, ok := errors.AsType[*adapter.Refusal](ToRefusal(overWire(t, FromRefusal(7, &v))))
		if !ok {
			t.Fatal("a refusal is none any more")
		}
		return *r
	})
}

// TestErrorRoundTrip fills an Error like the others; its cause crosses as words.
func TestErrorRoundTrip(t *testing.T) {
	var want adapter.Error
	fill(t, &want)
	for name, cross := range map[string]func(error) error{
		"message": func(err error) error { return ToError("test", overWire(t, FromError(err))) },
		"status":  func(err error) error { return FromStatus("test", ToStatus(err)) },
	} {
		got, ok := errors.AsType[*adapter.Error](cross(&want))
		if !ok {
			t.Fatalf("%s: no *adapter.Error any more", name)
		}
		if got.Op != want.Op || got.Call != want.Call || got.Kind != want.Kind || got.Error() != want.Error() {
			t.Errorf("%s: %+v came back as %+v", name, want, *got)
		}
	}
}

func TestKindsSurvive(t *testing.T) {
	for kind := adapter.KindInternal; kind <= adapter.KindUnavailable; kind++ {
		if _, ok := kindCodes[kind]; !ok {
			t.Errorf("kind %v has no code", kind)
		}
		err := fmt.Errorf("wrapped: %w", &adapter.Error{Op: "x.Y", Kind: kind, Err: errors.New("z")})
		got := FromStatus("test", ToStatus(err))
		if adapter.KindOf(got) != kind {
			t.Errorf("kind %v came back as %v", kind, adapter.KindOf(got))
		}
		if want := "test: wrapped: x.Y: z"; got.Error() != want {
			t.Errorf("text %q; want %q", got, want)
		}
	}
}

func TestSentinelsSurvive(t *testing.T) {
	for _, want := range []error{adapter.ErrClosed, context.DeadlineExceeded} {
		if got := FromStatus("test", ToStatus(fmt.Errorf("x: %w", want))); !errors.Is(got, want) {
			t.Errorf("%v came back as %v", want, got)
		}
	}
	// What gRPC itself says when a deadline passes or the plugin is gone.
	if got := FromStatus("test", status.Error(codes.DeadlineExceeded, "late")); adapter.KindOf(got) != adapter.KindUnavailable {
		t.Errorf("a passed deadline is %v; want unavailable", adapter.KindOf(got))
	}
	if got := FromStatus("test", status.Error(codes.Unimplemented, "?")); adapter.KindOf(got) != adapter.KindInternal {
		t.Errorf("an unknown code is %v; want internal", adapter.KindOf(got))
	}
	if got := ToRefusal(FromRefusal(1, errors.New("broken"))); errors.Is(got, adapter.ErrRefused) || got == nil {
		t.Errorf("a failed admission came back as %v", got)
	}
}

func TestUnknownEncodingIsInvalid(t *testing.T) {
	_, track := ToTrack(&plugv1.Join{Format: &plugv1.Format{Encoding: 99, Rate: 8000}})
	if err := track.Format.Validate(); !errors.Is(err, media.ErrFormat) {
		t.Errorf("an encoding from the future: %v; want ErrFormat", err)
	}
}
