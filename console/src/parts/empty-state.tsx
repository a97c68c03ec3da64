/** @file An empty place that says what to do. */
export interface EmptyStateProps {
  readonly title: string;
  readonly text: string;
  readonly action?: { readonly href: string; readonly label: string };
}

export function EmptyState({ title, text, action }: EmptyStateProps) {
  return (
    <div class="empty">
      <svg class="empty-picture" viewBox="0 0 160 72" aria-hidden="true" focusable="false">
        {[0, 1, 2, 3, 4].map((i) => (
          <g key={i} transform={`translate(${4 + i * 31} ${8 + (i % 2) * 4})`}>
            <rect class="empty-frame" width="26" height="48" rx="4" />
            <circle
              class="empty-ball"
              cx="13"
              cy={36 - 22 * Math.sin((i + 0.6) * 0.9) ** 2}
              r="5"
            />
          </g>
        ))}
      </svg>
      <p class="empty-title">{title}</p>
      <p class="muted">{text}</p>
      {action && (
        <a class="button button-accent empty-action" href={action.href}>
          {action.label}
        </a>
      )}
    </div>
  );
}
