{{base}}

# The image: the bridge alone, for other bridges.
FROM base
COPY --from=bridge {{bridge}}/bridge {{bridge}}/bridge
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD {{health}}
ENTRYPOINT {{entrypoint}}
