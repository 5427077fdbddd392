{{base}}

# The image.
FROM base
{{apt}}
{{files}}
{{folders}}
{{end}}
