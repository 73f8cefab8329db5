package emulator

import (
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// updated returns a copy of old with the fields that a mask names taken from changes.
// Paths in fixed cannot be changed. Without the update-mask rule an empty mask
// means every field that is set in changes.
func updated[M proto.Message](s *Server, old, changes M, mask *fieldmaskpb.FieldMask, fixed ...string) (M, error) {
	out := proto.CloneOf(old)
	paths := mask.GetPaths()
	if err := s.rule(RuleUpdateMask, len(paths) > 0, codes.InvalidArgument, "update_mask is required"); err != nil {
		return out, err
	}
	if len(paths) == 0 {
		changes.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			if !slices.Contains(fixed, string(f.Name())) {
				paths = append(paths, string(f.Name()))
			}
			return true
		})
	}
	for _, path := range paths {
		if slices.Contains(fixed, path) {
			return out, invalid("update_mask: %s cannot be changed", path)
		}
		if !copyPath(out.ProtoReflect(), changes.ProtoReflect(), strings.Split(path, ".")) {
			return out, invalid("update_mask: there is no field %.100q", path)
		}
	}
	return out, nil
}

// onlyInV2 is a Participant field that v2beta1 lacks: it is kept as an unknown field.
const onlyInV2 = "sip_recording_media_label"

// copyPath copies one field, or clears it when src has none. ok is false for a
// path that does not exist.
func copyPath(dst, src protoreflect.Message, path []string) (ok bool) {
	f := dst.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	if f == nil && path[0] == onlyInV2 {
		dst.SetUnknown(src.GetUnknown())
		return true
	}
	if f == nil {
		return false
	}
	if len(path) > 1 {
		if f.Message() == nil || f.IsList() || f.IsMap() {
			return false
		}
		return copyPath(dst.Mutable(f).Message(), src.Get(f).Message(), path[1:])
	}
	if src.Has(f) {
		dst.Set(f, src.Get(f))
	} else {
		dst.Clear(f)
	}
	return true
}
