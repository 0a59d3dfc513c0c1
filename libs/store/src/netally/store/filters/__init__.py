"""The filter language (docs/filters.md): one for every endpoint, export and page.

In: the text a person wrote. Out: a tree with positions (`syntax.parse`), its canonical text
(`canonical.format_filter`), a condition with parameters for one tier (`compile.compile_filter`, `compile.resolve`),
what may follow at the cursor (`completion.complete`). What is wrong with a text, or cannot be answered, is an
`errors.FilterError` with a column.
"""
