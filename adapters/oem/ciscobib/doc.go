// Package ciscobib reads what recording calls that are not SIPREC say of themselves in
// headers: the built-in bridge of Cisco's CUCM, CUBE's network-based recording (NBR)
// before SIPREC, and Five9's delivery by SIP.
//
// It owns those facts and the keys that pair dialogs of one call. Collecting the dialogs
// is the caller's.
package ciscobib
