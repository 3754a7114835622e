import { gzipSync } from 'node:zlib'
import react from '@vitejs/plugin-react'
import { defineConfig, type Plugin } from 'vite'

/** Most bytes, as gzip sends them, that the page loads before it shows anything. */
const PAGE_MAX = 300_000

/** Refuse a build whose scripts and styles take too long to load on a slow network. */
function budget(): Plugin {
  return {
    name: 'budget',
    apply: 'build',
    generateBundle(_, bundle) {
      let bytes = 0
      const named = new Set<string>()
      const count = (name: string) => {
        const file = bundle[name]
        if (!file || named.has(name)) return
        named.add(name)
        bytes += gzipSync(file.type === 'chunk' ? file.code : file.source).length
        if (file.type === 'chunk') file.imports.forEach(count) // what is imported on first use loads later
      }
      for (const file of Object.values(bundle)) {
        const isFirst = file.type === 'chunk' ? file.isEntry : file.fileName.endsWith('.css')
        if (isFirst) count(file.fileName)
      }
      if (bytes > PAGE_MAX) {
        this.error(
          `the page loads ${bytes} bytes at first, at most ${PAGE_MAX}: import what is used later by import()`,
        )
      }
    },
  }
}

export default defineConfig({
  plugins: [react(), budget()],
  build: {
    target: 'es2023',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
  },
})
