# Our picker in place of the suite's, whose Deployments name no configuration.
ARG PICKER
FROM ${PICKER}
COPY picker.yaml /picker.yaml
ENTRYPOINT ["/app/bin/service", "--config-file", "/picker.yaml"]
