package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/patchbay/patchbay/core/adapter"
)

// problemType is the media type of RFC 9457.
const problemType = "application/problem+json"

// writeProblem answers outside the handlers of the description, in the same form.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(status)
	// A client that has gone needs no answer.
	_ = json.NewEncoder(w).Encode(&huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: detail})
}

// problem returns an error that the client gets to see, in one line.
func problem(status int, format string, args ...any) error {
	return huma.NewError(status, fmt.Sprintf(format, args...))
}

// kindStatus says what a kind of error is in HTTP: whose turn it is to act.
var kindStatus = map[adapter.Kind]int{
	adapter.KindInternal:    http.StatusInternalServerError,
	adapter.KindVendor:      http.StatusBadGateway,
	adapter.KindConfig:      http.StatusUnprocessableEntity,
	adapter.KindUnavailable: http.StatusServiceUnavailable,
}

// fromAdapter turns what an adapter answered into what the client gets.
func fromAdapter(err error) error {
	status := kindStatus[adapter.KindOf(err)]
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
	case errors.Is(err, adapter.ErrRefused), errors.Is(err, adapter.ErrClosed):
		status = http.StatusServiceUnavailable
	}
	return problem(status, "%s", oneLine(err.Error()))
}

func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// sayWhatIsWrong puts the single mistakes of a request into the one line that people
// read, and takes the request's own values out of the answer.
func sayWhatIsWrong(_ huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok || len(model.Errors) == 0 {
		return v, nil
	}
	out := *model
	out.Errors = make([]*huma.ErrorDetail, 0, len(model.Errors))
	lines := make([]string, 0, len(model.Errors))
	for _, e := range model.Errors {
		if e == nil {
			continue
		}
		out.Errors = append(out.Errors, &huma.ErrorDetail{Message: e.Message, Location: e.Location})
		lines = append(lines, strings.TrimPrefix(e.Location+": "+e.Message, ": "))
	}
	out.Detail += ": " + strings.Join(lines, "; ")
	return &out, nil
}

// recovered keeps a bug in one handler from being more than one failed request.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			caught := recover()
			if caught == nil {
				return
			}
			err, _ := caught.(error)
			if _, gone := errors.AsType[net.Error](err); !gone && !errors.Is(err, http.ErrAbortHandler) {
				s.log.Error("api: a request failed by our fault; please report this", "path", r.Pattern, "err", caught, "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler) // the answer may have begun: cut the connection
		}()
		next.ServeHTTP(w, r)
	})
}
