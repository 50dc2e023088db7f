# Shared by the Makefiles below the top: one object or one archive a folder.

.PHONY: dummy
first_rule: $(O_TARGET) $(L_TARGET)

%.o: %.c
	$(CC) $(CFLAGS) -c -o $@ $<
	@echo 'FLAGS_OF_$@ := $(CFLAGS)' > .$@.flags

ifdef O_TARGET
$(O_TARGET): $(O_OBJS)
	$(LD) -r -o $@ $(O_OBJS)
endif

ifdef L_TARGET
$(L_TARGET): $(L_OBJS)
	rm -f $@
	ar rcs $@ $(L_OBJS)
endif

ifneq ($(wildcard .depend),)
include .depend
endif

# An object that was made with other flags, or under another TOPDIR, is made anew.
-include $(wildcard .*.flags)
STALE := $(foreach object,$(O_OBJS) $(L_OBJS),$(if $(filter-out $(FLAGS_OF_$(object)),$(CFLAGS)),$(object)))
ifneq ($(STALE),)
$(STALE): dummy
endif
dummy:
