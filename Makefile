# Every verb is bootstrap.py's, which works without make: python3 bootstrap.py help

.DEFAULT_GOAL := help
VERBS := run setup test test-long test-isolation lint bench load coverage-table docs ci ci-tools help
.PHONY: $(VERBS)

# Options: make test ARGS="tests/pulsecloud -x"
$(VERBS):
	@python3 bootstrap.py $@ $(ARGS)
