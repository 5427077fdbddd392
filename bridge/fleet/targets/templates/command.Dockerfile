{{base}}

# The image.
FROM base
{{apt}}
{{browser}}
{{files}}
{{folders}}
{{end}}
