package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxPlanBytes and adminTimeout bound a request of the admin API.
const (
	maxPlanBytes = 1 << 20
	adminTimeout = 10 * time.Second
)

// Admin returns the admin API, for tests in other processes. It has no
// authentication and answers only to hosts named by a loopback address or
// localhost; requests with a body must say that it is JSON, so that no web page
// can make them.
//
//	GET    /account      the Account
//	GET    /faults       the orders that stand
//	POST   /faults       orders a Plan: {"seed": 7, "faults": ["down,for=5s"]}; returns {"ids": [1]}
//	DELETE /faults       withdraws all
//	DELETE /faults/{id}  withdraws one
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /account", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, http.StatusOK, s.Account()) })
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, http.StatusOK, s.Faults()) })
	mux.HandleFunc("POST /faults", s.postFaults)
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, http.StatusOK, map[string]int{"withdrawn": s.Withdraw()})
	})
	mux.HandleFunc("DELETE /faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || s.Withdraw(id) == 0 {
			s.refuse(w, http.StatusNotFound, fmt.Errorf("there is no fault %.50q; GET /faults lists them", r.PathValue("id")))
			return
		}
		s.answer(w, http.StatusOK, map[string]int{"withdrawn": 1})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackHost(r.Host) {
			s.refuse(w, http.StatusForbidden, errors.New("the admin API answers to loopback addresses and localhost alone"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) postFaults(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/json" {
		s.refuse(w, http.StatusUnsupportedMediaType, errors.New("send a plan with Content-Type: application/json"))
		return
	}
	var p Plan
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxPlanBytes))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		s.refuse(w, http.StatusBadRequest, fmt.Errorf("the body is no plan of faults: %w", err))
		return
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		s.refuse(w, http.StatusBadRequest, errors.New("the body holds more than one plan"))
		return
	}
	ids, err := s.Inject(p)
	if err != nil {
		s.refuse(w, http.StatusBadRequest, err)
		return
	}
	s.answer(w, http.StatusOK, map[string][]int{"ids": ids})
}

// ListenAdmin opens the socket of the admin API; only loopback addresses will do.
func ListenAdmin(address string) (net.Listener, error) {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("emulator: admin API: %w", err)
	}
	if !a.IP.IsLoopback() {
		return nil, fmt.Errorf("emulator: the admin API listens on loopback alone, not on %q; use 127.0.0.1:%d", address, a.Port)
	}
	ln, err := net.ListenTCP("tcp", a)
	if err != nil {
		return nil, fmt.Errorf("emulator: admin API: %w", err)
	}
	return ln, nil
}

// ServeAdmin serves Admin on a listener of ListenAdmin until ctx ends, then waits
// for what is under way and returns nil.
func (s *Server) ServeAdmin(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler: s.Admin(), ReadTimeout: adminTimeout, WriteTimeout: adminTimeout,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	closed := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminTimeout)
		defer cancel()
		closed <- server.Shutdown(grace)
	})
	err := server.Serve(ln)
	if !stop() {
		return <-closed // ctx ended
	}
	return fmt.Errorf("emulator: admin API: %w", err)
}

func (s *Server) answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.log.Debug("admin API: the client went away", "err", err)
	}
}

func (s *Server) refuse(w http.ResponseWriter, code int, err error) {
	s.answer(w, code, map[string]string{"error": err.Error()})
}

// loopbackHost reports whether a Host header names this machine by its loopback.
func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
