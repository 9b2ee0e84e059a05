# Capistrano 3: lib/capistrano/tasks/rollbridge.rake, which the usual Capfile imports.
#
#   cap production deploy              the release is healthy before `current` moves
#   cap production deploy:rollback     the release before
#   cap production rollbridge:status
#
# In config/deploy.rb, where it is not this:
#
#   set :rollbridge_instance, 'rollbridge'   # /etc/rollbridge/INSTANCE.yaml
#   set :rollbridge_roles, :app
namespace :rollbridge do
  servers = -> { roles(fetch(:rollbridge_roles, :app)) }
  rollbridge = lambda do |command, *options|
    [:rollbridge, command, '--config', fetch(:rollbridge_instance, 'rollbridge'), *options]
  end

  desc 'Start the release and move traffic to it'
  task :deploy do
    on servers.call do
      id = release_path.basename.to_s
      options = ['--text', '--wait', '--release-path', release_path, '--release-id', id]
      options.push('--revision', fetch(:current_revision)) if fetch(:current_revision)
      begin
        execute(*rollbridge.call(:deploy, *options))
      rescue SSHKit::Command::Failed
        # deploy:rollback would take a release that never served for the one to leave.
        state = capture(*rollbridge.call(:status, '--json'), raise_on_non_zero_exit: false)
        unserved = state.include?('"activeReleaseId"') && !state.include?(%("activeReleaseId": "#{id}"))
        execute(:rm, '-rf', release_path) if deploying? && unserved
        raise
      end
    end
  end

  desc 'Show what runs'
  task :status do
    on(servers.call) { execute(*rollbridge.call(:status, '--text')) }
  end

  desc 'Show what happened'
  task :events do
    on(servers.call) { execute(*rollbridge.call(:events, '--limit', 50)) }
  end
end

# A release that does not get healthy ends the deploy here: `current` and traffic
# stay where they are. deploy:rollback comes this way, too.
before 'deploy:publishing', 'rollbridge:deploy'
