//go:build !linux

package spool

// SyncAll implements Disk: not here.
func (osDisk) SyncAll(string) (bool, error) { return false, nil }
