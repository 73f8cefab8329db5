package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/patchbay/patchbay/core/call"
)

// LeaseBody asks for a number.
type LeaseBody struct {
	Pool         string            `json:"pool" minLength:"1" maxLength:"63" doc:"Name of a pool, as configured under number_pools."`
	Conversation string            `json:"conversation" minLength:"3" maxLength:"512" doc:"Id or full name of the conversation. One that runs is joined, whoever made it; one that does not exist is made when the call comes."`
	Seconds      int               `json:"seconds,omitempty" minimum:"1" maximum:"86400" doc:"How long to wait for the call; the pool's when missing."`
	Attributes   map[string]string `json:"attributes,omitempty" maxProperties:"32" doc:"Attributes that the call gets."`
}

// LeaseList is the numbers that are leased.
type LeaseList struct {
	Leases []call.Lease `json:"leases" nullable:"false" doc:"The one that was leased last at the end."`
}

func (s *Server) addLeases(spec huma.API) {
	op := operation("lease-number", http.MethodPost, "/v1/leases", "leases", "Lease a number for a conversation",
		"The first call to the number goes into the conversation and ends the lease; without a call it expires. A conversation that has a number of the pool already keeps it, for longer. "+
			"Leases live in the memory of the host: a restart forgets them. 409 when all numbers of the pool are leased.",
		http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity)
	op.DefaultStatus = http.StatusCreated
	huma.Register(spec, op, s.lease)
	huma.Register(spec, operation("list-leases", http.MethodGet, "/v1/leases", "leases", "List leased numbers", ""), s.listLeases)
	op = operation("release-number", http.MethodDelete, "/v1/leases/{lease}", "leases", "Give a leased number back", "", http.StatusNotFound)
	op.DefaultStatus = http.StatusNoContent
	huma.Register(spec, op, s.release)
}

type leaseInput struct{ Body LeaseBody }

type leaseOutput struct{ Body call.Lease }

func (s *Server) lease(_ context.Context, in *leaseInput) (*leaseOutput, error) {
	l, err := s.calls.Lease(in.Body.Pool, in.Body.Conversation, time.Duration(in.Body.Seconds)*time.Second, in.Body.Attributes)
	switch {
	case errors.Is(err, call.ErrNoPool):
		return nil, problem(http.StatusNotFound, "there is no pool %q; name one of number_pools", shorten(in.Body.Pool))
	case errors.Is(err, call.ErrPoolEmpty):
		return nil, problem(http.StatusConflict, "%v", err)
	case err != nil:
		return nil, problem(http.StatusUnprocessableEntity, "%v", err)
	}
	return &leaseOutput{Body: l}, nil
}

type listLeasesOutput struct{ Body LeaseList }

func (s *Server) listLeases(context.Context, *struct{}) (*listLeasesOutput, error) {
	return &listLeasesOutput{Body: LeaseList{Leases: s.calls.Leases()}}, nil
}

type releaseInput struct {
	Lease string `path:"lease" maxLength:"64" doc:"Id of the lease."`
}

func (s *Server) release(_ context.Context, in *releaseInput) (*struct{}, error) {
	if !s.calls.Release(in.Lease) {
		return nil, problem(http.StatusNotFound, "there is no lease %q: it has expired, or its call came", shorten(in.Lease))
	}
	return nil, nil
}
